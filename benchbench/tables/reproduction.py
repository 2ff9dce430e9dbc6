"""Reproduction: measured numbers next to those that a publication printed, and a verdict on each difference."""

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
_DECIMALS = 9
"""Decimals to which a difference is rounded before it is compared with the tolerance, against errors of floats."""


class Reproduction(NamedTuple):
    """A printed table and the measured table of its shape."""

    reported: PrintedTable
    measured: Listed | None
    frame: pd.DataFrame
    """A line for each printed number, with `COLUMNS`."""
    deviations: list[str]
    """Settings that differ from the printed ones."""


def reproductions(results: Results) -> list[Reproduction]:
    """Return every printed table of the benchmark, in the order of the file."""
    if not results.manifest.reported:
        return []
    tables = shown_tables(results)
    return [_reproduction(results, reported, tables) for reported in results.manifest.reported]


def has_same_shape(listed: Listed, reported: PrintedTable) -> bool:
    """Return True where a measured table has the columns of a printed one, and at least one of its rows."""
    columns = [name for name in listed.frame.columns if name not in MARKS]
    if columns != list(reported.columns) or not reported.where.items() <= dict(listed.where).items():
        return False
    return any(measured_line(listed, reported, row) is not None for row in reported.rows)


def measured_line(listed: Listed, reported: PrintedTable, row: Sequence[Any]) -> dict[str, Any] | None:
    """Return the measured line of a printed row; None where there is none."""
    printed = {name: _cell_of(reported, row, name) for name in _keys(reported, listed.labels)}
    for line in listed.frame.to_dict("records"):
        if all(_is_same(line[name], value) for name, value in printed.items()):
            return {str(name): value for name, value in line.items()}
    return None


def _reproduction(results: Results, reported: PrintedTable, tables: Sequence[Listed]) -> Reproduction:
    measured = next((table for table in tables if has_same_shape(table, reported)), None)
    lines: list[dict[str, Any]] = []
    for row in reported.rows:
        lines += _lines(results, reported, measured, row)
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    return Reproduction(reported, measured, frame, list(_deviations(reported, measured)))


def _lines(
    results: Results, reported: PrintedTable, measured: Listed | None, row: Sequence[Any]
) -> Iterator[dict[str, Any]]:
    """Yield a line for each printed number of a row."""
    labels: Sequence[str] = reported.columns[:1]
    line = None
    if measured is not None:
        labels = measured.labels
        line = measured_line(measured, reported, row)
    name = ", ".join(as_text(_cell_of(reported, row, key)) for key in _keys(reported, labels))
    for column, printed in zip(reported.columns, row, strict=True):
        if column in labels:
            continue
        value = _measured_value(line, column)
        why = _exemption(reported, row, column) or _why_missing(results, measured, line, value)
        judged = {"difference": None, "verdict": "not comparable", "why": why}
        if not why:
            judged = _judge(reported, value, printed)
        yield {"row": name, "column": column, "measured": value, "reported": printed, **judged}


def _measured_value(line: Mapping[str, Any] | None, column: str) -> Any:
    """Return a cell of a measured line; None where there is no line, no cell or no number."""
    value = None
    if line is not None:
        value = line.get(column)
    if value is None or pd.isna(value):
        return None
    return value


def _judge(reported: PrintedTable, value: Any, printed: Any) -> dict[str, Any]:
    """Compare two numbers within the tolerance; texts have to be equal."""
    difference = None
    if isinstance(value, str) or isinstance(printed, str):
        is_reproduced = value == printed
    else:
        difference = float(value) - float(printed)
        is_reproduced = round(abs(difference), _DECIMALS) <= reported.tolerance
    return {"difference": difference, "verdict": "reproduced" if is_reproduced else "gap", "why": ""}


def _exemption(reported: PrintedTable, row: Sequence[Any], column: str) -> str:
    """Return why a printed number cannot be compared; an empty text where it can."""
    for exempt in reported.exempt:
        if exempt.row in {None, row[0]} and exempt.column in {None, column}:
            return exempt.why
    return ""


def _why_missing(results: Results, measured: Listed | None, line: Mapping[str, Any] | None, value: Any) -> str:
    """Return why there is no measured number; an empty text where there is one."""
    if results.manifest.phantom:
        return "phantom data"
    if measured is None:
        return "no table of this shape"
    if line is None:
        return "no such row"
    if value is None:
        return "not all runs have it"
    return ""


def _deviations(reported: PrintedTable, measured: Listed | None) -> Iterator[str]:
    """Yield the differences of label columns that are not needed to find a row."""
    if measured is None:
        return
    keys = _keys(reported, measured.labels)
    for name in measured.labels:
        if name in keys:
            continue
        differences: dict[str, None] = {}  # in the order of the rows, each once
        for row in reported.rows:
            line = measured_line(measured, reported, row)
            printed = _cell_of(reported, row, name)
            if line is not None and not _is_same(line[name], printed):
                differences[f"{name} is {as_text(line[name])}, printed is {as_text(printed)}"] = None
        yield from differences


def _keys(reported: PrintedTable, labels: Sequence[str]) -> list[str]:
    """Return the first label columns that together distinguish the printed rows, without constant ones."""
    keys: list[str] = []
    for name in labels:
        values = {_cell_of(reported, row, name) for row in reported.rows}
        if len(values) == 1 and len(labels) > 1:
            continue
        keys.append(name)
        distinct = {tuple(_cell_of(reported, row, key) for key in keys) for row in reported.rows}
        if len(distinct) == len(reported.rows):
            break
    return keys


def _cell_of(reported: PrintedTable, row: Sequence[Any], column: str) -> Any:
    return row[reported.columns.index(column)]


def _is_same(measured: object, printed: object) -> bool:
    return as_text(measured) == as_text(printed)
