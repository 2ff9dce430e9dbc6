"""Pivot tables, such as folds by models, as a benchmark asks for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd

from benchbench.spec.file_names import slug
from benchbench.spec.metric_names import is_lower_better
from benchbench.spec.table_specs import Axis, GroupAxis, TableSpec
from benchbench.spec.value_names import Direction
from benchbench.tables.folds import fold_table
from benchbench.tables.leaderboard import names_with_units
from benchbench.tables.marks import LEAKY_NOTE, MARKS, OPTIMISTIC_NOTE
from benchbench.tables.results import Results
from benchbench.tables.style import Score, Style, style_of

_MEANS = {"case": "mean over cases", "slice": "mean over slices", "pooled": "all voxels pooled"}
_NOTES = dict(
    zip(
        MARKS,
        ("ensemble", "external", "own settings", "pretrained", "contaminated", OPTIMISTIC_NOTE, LEAKY_NOTE),
        strict=True,
    )
)

Orders = Mapping[Axis, Sequence[str | int]]
"""Axis -> its values in the order of the plan."""


class Pivot(NamedTuple):
    """A pivot table with its name and title."""

    name: str
    title: str
    table: pd.DataFrame
    style: Style
    spec: TableSpec


def pivot_tables(results: Results, *, marked: bool = True) -> Iterator[Pivot]:
    """Yield every pivot that the benchmark asks for, with marked labels where rows need a mark.

    A cell is the mean of the values of its runs, and empty as long as one of them has none. An axis that is
    neither rows nor columns is averaged if it is fold or seed; otherwise each of its values has a table.
    """
    folds = fold_table(results)
    if not marked:
        folds = folds.drop(columns=[name for name in MARKS if name in folds])
    axes: tuple[Axis, ...] = get_args(Axis)
    orders = {axis: results.manifest.values_of(axis) for axis in axes}
    for number, spec in enumerate(results.manifest.tables, start=1):
        others = _other_axes(spec, orders)
        for metric in names_with_units(spec.value, folds) or [spec.value]:
            values_of_axes = [orders[axis] for axis in others]
            for values in itertools.product(*values_of_axes):
                point = dict(zip(others, values, strict=True))
                yield _pivot(results, folds, spec, metric=metric, point=point, number=number, orders=orders)


def _other_axes(spec: TableSpec, orders: Orders) -> list[GroupAxis]:
    axes: tuple[GroupAxis, ...] = get_args(GroupAxis)
    others = [axis for axis in axes if axis not in {spec.rows, spec.columns}]
    return [axis for axis in others if len(orders[axis]) > 1]


def _pivot(
    results: Results,
    folds: pd.DataFrame,
    spec: TableSpec,
    *,
    metric: str,
    point: Mapping[GroupAxis, str | int],
    number: int,
    orders: Orders,
) -> Pivot:
    """Return the pivot of one metric at one point of the axes that are neither rows nor columns."""
    column = metric
    if spec.aggregate != "case":
        column = f"{metric}_{spec.aggregate}"
    runs = folds
    for axis, value in point.items():
        runs = runs[runs[axis] == value]
    name = f"{number}-{column}-{spec.rows}-by-{spec.columns}"
    title = f"{results.manifest.title}: {metric} ({_MEANS[spec.aggregate]}), {spec.rows} by {spec.columns}"
    for axis, value in point.items():
        name += f"-{slug(str(value))}"
        title += f", {axis} {value}"
    for mark, note in (("selection", OPTIMISTIC_NOTE), ("split", LEAKY_NOTE)):
        if mark in runs and (runs[mark] != "").all():
            title += f", {note}"
    table = _table(runs, spec, column, orders)
    style = style_of(_scores(table, spec, metric), bold=spec.bold, decimals=spec.decimals)
    return Pivot(slug(name), title, table, style, spec)


def _scores(table: pd.DataFrame, spec: TableSpec, metric: str) -> Iterator[Score]:
    """Yield the cells that are compared: no label, no standard deviation, and no mean with its own folds."""
    direction: Direction = "lower" if is_lower_better(metric) else "higher"
    not_compared: set[str] = set()
    if spec.rows == "fold":
        not_compared = {"mean", "sd"} if spec.bold == "column" else {"sd"}
    for row, (label, *values) in enumerate(table.itertuples(index=False, name=None)):
        if label in not_compared:
            continue
        for column, value in enumerate(values, start=1):
            yield Score(row, column, value, direction)


def _table(runs: pd.DataFrame, spec: TableSpec, column: str, orders: Orders) -> pd.DataFrame:
    rows, columns = spec.rows, spec.columns
    scores: pd.Series | float = np.nan
    if column in runs:
        scores = runs[column].where(runs["status"] == "done")
    by_cell = runs.assign(score=scores).groupby([rows, columns])["score"]
    cells = by_cell.agg(_strict_mean)
    order = list(orders[rows])
    if rows in {"fold", "seed"}:
        order.sort()
    table: pd.DataFrame = cells.unstack().reindex(index=order, columns=orders[columns])  # noqa: PD010 one a cell
    table = table.set_axis([_label(runs, rows, value) for value in order])
    if rows == "fold":
        table.loc["mean"] = cells.groupby(columns).agg(_strict_mean)
        if spec.sd:
            table.loc["sd"] = cells.groupby(columns).agg(_strict_sd)
    headings = [_label(runs, columns, value) for value in orders[columns]]
    table = table.set_axis(headings, axis=1)
    table.insert(0, rows, table.index, allow_duplicates=True)
    return table.reset_index(drop=True)


def _label(runs: pd.DataFrame, axis: Axis, value: str | int) -> str:
    """Return a value of an axis with the notes that its runs need: all of them, or some."""
    label = str(value)
    if axis not in {"model", "variant"}:
        return label
    for column, note in _NOTES.items():
        if column not in runs:
            continue
        marks = runs.loc[runs[axis] == value, column]
        has_mark = marks != ""
        if has_mark.all():
            if column == "own_settings" and len(set(marks)) == 1:
                note = marks.iloc[0]  # noqa: PLW2901 the settings themselves
            label += f" ({note})"
        elif has_mark.any():
            label += f" (some {note})"
    return label


def _strict_mean(values: pd.Series) -> float:
    """Return the mean; nan if one value is missing."""
    return float(values.mean(skipna=False))


def _strict_sd(values: pd.Series) -> float:
    """Return the standard deviation with n - 1; nan if one value is missing."""
    return float(values.std(skipna=False))
