"""Listings: tables with a line per variant, model or dataset, and columns of settings and values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args

import pandas as pd

from benchbench.plan.run import KEYS, Group, RunKey
from benchbench.spec.file_names import slug
from benchbench.spec.own_protocols import setting_text
from benchbench.spec.table_specs import LABELS, SETTINGS, GroupAxis, ListingSpec, is_label
from benchbench.spec.value_names import better_direction, split_percent
from benchbench.tables.folds import fold_table
from benchbench.tables.marks import insert_marks
from benchbench.tables.results import Results
from benchbench.tables.style import Score, Style, style_of

Values = Mapping[str, Any]
"""Name of a value -> the value of a run."""
Point = Mapping[GroupAxis, str]
"""Axis -> value."""

_SEVERAL = "several"
"""Cell of a line whose runs have different texts."""


class LabelledTable(NamedTuple):
    """A table and the columns that identify its lines."""

    name: str
    title: str
    frame: pd.DataFrame
    labels: tuple[str, ...]
    """Columns that identify a line; the other columns were measured."""
    where: Point
    """Axis -> the value that holds for the whole table and is in none of its columns."""
    style: Style


def listing_tables(results: Results) -> Iterator[LabelledTable]:
    """Yield every listing that the benchmark asks for.

    A value is the mean over the folds and seeds of its line, and empty as long as one of these runs has none; a
    value that all of them share is printed unchanged. Each value of an axis other than the rows has a table.
    """
    values = _run_values(results)
    for number, spec in enumerate(results.manifest.listings, start=1):
        others = _other_axes(results, spec)
        labels = tuple(heading for heading, source in spec.columns.items() if is_label(source))
        values_of_axes = [_included_values(results, spec, axis) for axis in others]
        for point in itertools.product(*values_of_axes):
            where = dict(zip(others, point, strict=True))
            name, title = f"listing-{number}", spec.title
            for axis, value in where.items():
                name += f"-{slug(value)}"
                title += f", {axis} {value}"
            frame = _frame(results, spec, values, where)
            style = style_of(_scores(frame, spec), bold=spec.bold, decimals=spec.decimals)
            yield LabelledTable(slug(name), title, frame, labels, where, style)


def as_text(value: object) -> str:
    """Return a label as papers print it."""
    return setting_text(value)


def _values_of(results: Results, axis: GroupAxis) -> list[str]:
    return [str(value) for value in results.manifest.values_of(axis)]


def _other_axes(results: Results, spec: ListingSpec) -> list[GroupAxis]:
    axes: tuple[GroupAxis, ...] = get_args(GroupAxis)
    return [axis for axis in axes if axis != spec.rows and len(_values_of(results, axis)) > 1]


def _included_values(results: Results, spec: ListingSpec, axis: GroupAxis) -> list[str]:
    """Return the values of an axis that the listing includes."""
    values = _values_of(results, axis)
    included = spec.where.get(axis, values)
    return [value for value in values if value in included]


def _run_values(results: Results) -> dict[RunKey, Values]:
    """Return the scores, the values next to them and the sizes of every run that is done."""
    values: dict[RunKey, Values] = {}
    for line in fold_table(results).to_dict("records"):
        key = RunKey(*(line[name] for name in KEYS))
        if results.is_done(key):
            record = results.records[key]
            sizes = {
                "parameters": record.parameters,
                "parameters_with_statistics": record.parameters_with_statistics,
                "epochs": record.epochs,
                "best_epoch": record.best_epoch,
            }
            values[key] = {**line, **record.shown, **sizes}
    return values


def _frame(results: Results, spec: ListingSpec, values: Mapping[RunKey, Values], where: Point) -> pd.DataFrame:
    lines: list[dict[str, Any]] = []
    groups: list[Group] = []
    for point in _points(results, spec):
        runs = _runs_at(results, {**where, **point})
        if not runs:
            continue
        settings = _settings_of(results, runs[0])
        measured = [values.get(run, {}) for run in runs]
        for name, metric in (spec.lines or {"": ""}).items():
            labels = {**runs[0]._asdict(), "metric": name}
            line = {}
            for heading, source in spec.columns.items():
                line[heading] = _cell(source.replace("{metric}", metric), labels, settings, measured)
            lines.append(line)
            groups.append(runs[0].group)
    frame = pd.DataFrame(lines, columns=list(spec.columns), dtype=object)
    return insert_marks(results, frame.apply(_as_numbers), groups)


def _settings_of(results: Results, run: RunKey) -> Values:
    """Return the listed settings of a run: those of its variant, and those that its model has of its own."""
    settings = dict(results.manifest.settings[run.variant])
    of_model = results.manifest.own_settings.get(run.variant, {}).get(run.model)
    if of_model is not None:
        settings.update(of_model.listed)
    return settings


def _scores(frame: pd.DataFrame, spec: ListingSpec) -> Iterator[Score]:
    """Yield the cells that are scores or losses."""
    lines = list((spec.lines or {"": ""}).items())
    for row, cells in enumerate(frame.itertuples(index=False, name=None)):
        name, metric = lines[row % len(lines)]
        for column, source in enumerate(spec.columns.values()):
            direction = better_direction(source.replace("{metric}", metric))
            value = cells[column]
            if direction is not None and isinstance(value, int | float):
                yield Score(row, column, float(value), direction, name)


def _points(results: Results, spec: ListingSpec) -> list[Point]:
    """Return the point of each line: one per value of the rows, or a single one where the listing has no rows."""
    if spec.rows is None:
        return [{}]
    return [{spec.rows: value} for value in _included_values(results, spec, spec.rows)]


def _runs_at(results: Results, point: Point) -> list[RunKey]:
    return [key for key in results.planned if point.items() <= key._asdict().items()]


def _as_numbers(column: pd.Series) -> pd.Series:
    """Return a column without texts as numbers."""
    has_text = column.map(type).eq(str).any()
    if has_text:
        return column
    return pd.to_numeric(column)


def _cell(source: str, labels: Values, settings: Values, runs: Sequence[Values]) -> Any:
    """Return a label, a setting, or the value that the runs of a line have in common or on average."""
    if source in LABELS:
        return as_text(labels[source])
    if source.startswith(SETTINGS):
        return as_text(settings[source])
    name, factor = split_percent(source)
    values: list[Any] = [run.get(name) for run in runs]
    if any(_is_missing(value) for value in values):
        return math.nan
    if len(set(values)) == 1:
        # without a factor the value keeps its type: a count stays a count
        return values[0] if factor == 1 else values[0] * factor
    if any(isinstance(value, str) for value in values):
        return _SEVERAL
    return factor * sum(values) / len(values)


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
