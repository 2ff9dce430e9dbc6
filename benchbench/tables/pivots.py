"""Pivot tables, such as folds by models, as a benchmark asks for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchbench.plan.run import GROUP, KEYS
from benchbench.results.files import slug
from benchbench.tables.folds import fold_table
from benchbench.tables.leaderboard import names_with_units
from benchbench.tables.marks import MARKS, OPTIMISTIC_NOTE
from benchbench.tables.results import Results

_MEANS = {"case": "mean over cases", "slice": "mean over slices", "pooled": "all voxels pooled"}


def pivot_tables(results: Results, *, marked: bool = True) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Name, title and table of every pivot that the benchmark asks for, labels marked where they have to be.

    A cell is the mean of the values of its runs, and empty as long as one of them has none. What stands on neither
    axis is averaged if it is fold or seed, and has a table for each of its values otherwise.
    """
    folds = fold_table(results)
    folds = folds if marked else folds.drop(columns=[name for name in MARKS if name in folds])
    orders = {axis: list(dict.fromkeys(run[axis] for run in results.manifest["runs"])) for axis in KEYS}
    for number, spec in enumerate(results.manifest["tables"], start=1):
        axes = [spec["rows"], spec["columns"]]
        others = [axis for axis in GROUP if axis not in axes and len(orders[axis]) > 1]
        points = list(itertools.product(*(orders[axis] for axis in others)))
        for metric, values in itertools.product(names_with_units(spec["value"], folds) or [spec["value"]], points):
            column = metric if spec["aggregate"] == "case" else f"{metric}_{spec['aggregate']}"
            chosen = folds[(folds[others] == list(values)).all(axis=1)] if others else folds
            where = "".join(f", {axis} {value}" for axis, value in zip(others, values, strict=True))
            name = "-".join([str(number), column, spec["rows"], "by", spec["columns"], *map(slug, values)])
            subject = f"{metric} ({_MEANS[spec['aggregate']]}), {spec['rows']} by {spec['columns']}{where}"
            subject += (
                f", {OPTIMISTIC_NOTE}" if "selection" in chosen and (chosen["selection"] != "").all() else ""
            )
            table = _pivot(chosen, axes, column, orders, sd=spec["sd"])
            yield name, f"{results.manifest['title']}: {subject}", table


def _pivot(
    runs: pd.DataFrame, axes: list[str], column: str, orders: Mapping[str, list[Any]], *, sd: bool
) -> pd.DataFrame:
    rows, columns = axes
    scores = runs[column].where(runs["status"] == "done") if column in runs else np.nan
    cells = runs.assign(score=scores).groupby(axes)["score"].agg(_strict_mean)
    order = sorted(orders[rows]) if rows in {"fold", "seed"} else orders[rows]
    table: pd.DataFrame = cells.unstack().reindex(index=order, columns=orders[columns])  # noqa: PD010 one a cell
    table = table.set_axis([_label(runs, rows, name) for name in order])
    if rows == "fold":
        table.loc["mean"] = cells.groupby(columns).agg(_strict_mean)
    if rows == "fold" and sd:
        table.loc["sd"] = cells.groupby(columns).agg(_strict_sd)
    table = table.set_axis([_label(runs, columns, name) for name in orders[columns]], axis=1)
    table.insert(0, rows, table.index, allow_duplicates=True)
    return table.reset_index(drop=True)


def _label(runs: pd.DataFrame, axis: str, name: object) -> str:
    """A name on an axis, marked where it is of ensembles or trained weights, or was chosen on the cases scored."""
    label = str(name)
    for column, note in zip(MARKS, ("ensemble", "pretrained", OPTIMISTIC_NOTE), strict=True):
        if axis in {"model", "variant"} and column in runs:
            has = runs.loc[runs[axis] == name, column] != ""
            label += (f" ({note})" if has.all() else f" (some {note})") if has.any() else ""
    return label


def _strict_mean(values: pd.Series) -> float:
    return float(values.mean(skipna=False))


def _strict_sd(values: pd.Series) -> float:
    return float(values.std(skipna=False))
