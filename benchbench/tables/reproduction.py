"""Measured numbers beside those that a publication printed, and what can be said of the difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd

from benchbench.spec.reported import PrintedTable
from benchbench.tables.listings import Listed, as_text, shown_tables
from benchbench.tables.marks import MARKS
from benchbench.tables.results import Results

Verdict = Literal["reproduced", "gap", "not comparable"]
COLUMNS = ("row", "column", "measured", "reported", "difference", "verdict", "why")


class Held(NamedTuple):
    """A printed table and what was measured in its shape."""

    reported: PrintedTable
    measured: Listed | None
    frame: pd.DataFrame
    """A line for each printed number."""
    deviations: list[str]
    """Settings that are not those printed."""


def reproductions(results: Results) -> list[Held]:
    """Every printed table of the benchmark, in the order of the data."""
    if not results.manifest.reported:
        return []
    shown = shown_tables(results)
    return [_held(results, reported, shown) for reported in results.manifest.reported]


def is_same_shape(listed: Listed, reported: PrintedTable) -> bool:
    """Whether a measured table has the columns of a printed one, and rows of it: there may be fewer folds."""
    columns = [name for name in listed.frame.columns if name not in MARKS]
    if columns != list(reported.columns) or not reported.where.items() <= dict(listed.where).items():
        return False
    return any(line_of(listed, reported, row) is not None for row in reported.rows)


def _held(results: Results, reported: PrintedTable, shown: Sequence[Listed]) -> Held:
    measured = next((listed for listed in shown if is_same_shape(listed, reported)), None)
    lines = [line for row in reported.rows for line in _lines(results, reported, measured, row)]
    return Held(
        reported, measured, pd.DataFrame(lines, columns=list(COLUMNS)), list(_differing(reported, measured))
    )


def _lines(
    results: Results, reported: PrintedTable, measured: Listed | None, row: Sequence[Any]
) -> Iterator[dict[str, Any]]:
    labels = measured.labels if measured else reported.columns[:1]
    line = line_of(measured, reported, row) if measured else None
    named = [as_text(row[reported.columns.index(name)]) for name in _keys(reported, labels)]
    for column, printed in zip(reported.columns, row, strict=True):
        if column in labels:
            continue
        value = line.get(column) if line else None
        value = None if value is None or pd.isna(value) else value
        why = _exempt(reported, row, column) or _missing(results, measured, line, value)
        judged = (
            {"difference": None, "verdict": "not comparable", "why": why}
            if why
            else _judged(reported, value, printed)
        )
        yield {"row": ", ".join(named), "column": column, "measured": value, "reported": printed, **judged}


def _judged(reported: PrintedTable, value: Any, printed: Any) -> dict[str, Any]:
    difference = None if isinstance(value, str) or isinstance(printed, str) else float(value) - float(printed)
    is_near = value == printed if difference is None else round(abs(difference), 9) <= reported.tolerance
    return {"difference": difference, "verdict": "reproduced" if is_near else "gap", "why": ""}


def _exempt(reported: PrintedTable, row: Sequence[Any], column: str) -> str:
    for each in reported.exempt:
        if each.row in {None, row[0]} and each.column in {None, column}:
            return each.why
    return ""


def _missing(results: Results, measured: Listed | None, line: Mapping[str, Any] | None, value: Any) -> str:
    if results.manifest.phantom:
        return "phantom data"
    if measured is None:
        return "no table of this shape"
    if line is None:
        return "no such row"
    return "not all runs have it" if value is None else ""


def _differing(reported: PrintedTable, measured: Listed | None) -> Iterator[str]:
    """Label columns that are not needed to find a row, where they differ."""
    if measured is None:
        return
    for name in measured.labels:
        if name in _keys(reported, measured.labels):
            continue
        at = reported.columns.index(name)
        pairs = dict.fromkeys(
            (as_text(line[name]), as_text(row[at]))
            for row in reported.rows
            if (line := line_of(measured, reported, row)) and not _is_same(line[name], row[at])
        )
        yield from (f"{name} is {found}, printed is {printed}" for found, printed in pairs)


def line_of(listed: Listed, reported: PrintedTable, row: Sequence[Any]) -> dict[str, Any] | None:
    """The measured line of a printed row."""
    wanted = {name: row[reported.columns.index(name)] for name in _keys(reported, listed.labels)}
    for line in listed.frame.to_dict("records"):
        if all(_is_same(line[name], value) for name, value in wanted.items()):
            return {str(name): value for name, value in line.items()}
    return None


def _keys(reported: PrintedTable, labels: Sequence[str]) -> list[str]:
    """As many label columns, from the first, as it takes to tell the printed rows apart; none that is constant."""
    keys: list[str] = []
    for name in labels:
        column = [row[reported.columns.index(name)] for row in reported.rows]
        if len(set(column)) == 1 and len(labels) > 1:
            continue
        keys.append(name)
        places = [reported.columns.index(key) for key in keys]
        if len({tuple(row[place] for place in places) for row in reported.rows}) == len(reported.rows):
            break
    return keys


def _is_same(measured: object, printed: object) -> bool:
    return as_text(measured) == as_text(printed)
