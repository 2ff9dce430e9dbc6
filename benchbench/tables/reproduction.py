"""Measured numbers compared with those that a publication printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import pandas as pd

from benchbench.records.record import Value
from benchbench.spec.reported import Cell, PrintedTable
from benchbench.tables.listings import LabelledTable, as_text, listing_tables
from benchbench.tables.marks import MARKS
from benchbench.tables.pivots import pivot_tables
from benchbench.tables.results import Results

Verdict = Literal["reproduced", "gap", "not comparable"]
COLUMNS = ("row", "column", "measured", "reported", "difference", "verdict", "why")
_ROUND = 9  # decimals, so that a difference of exactly the tolerance is within it


class Reproduction(NamedTuple):
    """A printed table compared with the measured table of the same rows and columns."""

    printed: PrintedTable
    measured: LabelledTable | None
    """None if the benchmark has no such table."""
    numbers: pd.DataFrame
    """A line for each printed number, with `COLUMNS`."""
    deviations: list[str]
    """Settings that differ from the printed ones."""


@dataclass(frozen=True, kw_only=True)
class _ComparedNumber:
    """A printed number and the measured one; its fields are `COLUMNS`."""

    row: str
    column: str
    measured: Value
    reported: Cell
    difference: float | None = None
    """Measured minus printed."""
    verdict: Verdict
    why: str = ""
    """The reason why the two are not comparable."""


def reproductions(results: Results) -> list[Reproduction]:
    """Return every printed table of the benchmark, in the order of the file."""
    if not results.manifest.reported:
        return []
    tables = _measured_tables(results)
    return [_compare_table(results, printed, tables) for printed in results.manifest.reported]


def has_same_shape(table: LabelledTable, printed: PrintedTable) -> bool:
    """Return True if a measured table has the columns of a printed one and at least one of its rows."""
    columns = [name for name in table.frame.columns if name not in MARKS]
    if columns != list(printed.columns):
        return False
    if not printed.where.items() <= dict(table.where).items():
        return False
    return any(measured_line(table, printed, row) is not None for row in printed.rows)


def measured_line(table: LabelledTable, printed: PrintedTable, row: Sequence[Cell]) -> dict[str, Value] | None:
    """Return the measured line of a printed row; None if there is none."""
    position = measured_position(table, printed, row)
    if position is None:
        return None
    line = table.frame.iloc[position].to_dict()
    return {str(name): value for name, value in line.items()}


def measured_position(table: LabelledTable, printed: PrintedTable, row: Sequence[Cell]) -> int | None:
    """Return the number of the measured line of a printed row; None if there is none."""
    keys = _key_columns(printed, table.labels)
    for position, line in enumerate(table.frame.to_dict("records")):
        if all(_is_same(line[name], _cell(printed, row, name)) for name in keys):
            return position
    return None


def _measured_tables(results: Results) -> list[LabelledTable]:
    """Return listings and pivots, without marks on their labels."""
    tables = list(listing_tables(results))
    for pivot in pivot_tables(results, marked=False):
        label = str(pivot.table.columns[0])
        tables.append(LabelledTable(pivot.name, pivot.title, pivot.table, (label,), {}, pivot.style))
    return tables


def _compare_table(results: Results, printed: PrintedTable, tables: Sequence[LabelledTable]) -> Reproduction:
    measured = next((table for table in tables if has_same_shape(table, printed)), None)
    compared: list[_ComparedNumber] = []
    for row in printed.rows:
        compared += _compare_row(results, printed, measured, row)
    numbers = pd.DataFrame([asdict(number) for number in compared], columns=list(COLUMNS))
    return Reproduction(printed, measured, numbers, _deviations(printed, measured))


def _compare_row(
    results: Results, printed: PrintedTable, measured: LabelledTable | None, row: Sequence[Cell]
) -> Iterator[_ComparedNumber]:
    """Yield each number of a printed row."""
    labels: Sequence[str] = printed.columns[:1]
    line = None
    if measured is not None:
        labels = measured.labels
        line = measured_line(measured, printed, row)
    key_cells = [_cell(printed, row, name) for name in _key_columns(printed, labels)]
    row_name = ", ".join(map(as_text, key_cells))
    for column, cell in zip(printed.columns, row, strict=True):
        if column in labels:
            continue
        value = _value_in(line, column)
        why = _exemption(printed, row, column) or _why_missing(results, measured, line, value)
        if why or value is None:
            yield _ComparedNumber(
                row=row_name, column=column, measured=value, reported=cell, verdict="not comparable", why=why
            )
        else:
            yield _compare_number(row_name, column, value, cell, tolerance=printed.tolerance)


def _compare_number(row: str, column: str, measured: Any, reported: Cell, *, tolerance: float) -> _ComparedNumber:
    """Compare numbers by their difference, and texts by equality."""
    difference = None
    if isinstance(measured, str) or isinstance(reported, str):
        is_near = measured == reported
    else:
        difference = float(measured) - float(reported)
        is_near = round(abs(difference), _ROUND) <= tolerance
    return _ComparedNumber(
        row=row,
        column=column,
        measured=measured,
        reported=reported,
        difference=difference,
        verdict="reproduced" if is_near else "gap",
    )


def _value_in(line: Mapping[str, Value] | None, column: str) -> Value:
    if line is None or pd.isna(line.get(column)):
        return None
    return line[column]


def _exemption(printed: PrintedTable, row: Sequence[Cell], column: str) -> str:
    """Return the reason why a printed number is not compared; empty if it is."""
    for exempt in printed.exempt:
        if exempt.row in {None, row[0]} and exempt.column in {None, column}:
            return exempt.why
    return ""


def _why_missing(
    results: Results, measured: LabelledTable | None, line: Mapping[str, Value] | None, value: Value
) -> str:
    """Return the reason why there is no measured number to compare; empty if there is one."""
    if results.manifest.phantom:
        return "phantom data"
    if measured is None:
        return "no table of this shape"
    if line is None:
        return "no such row"
    if value is None:
        return "not all runs have it"
    return ""


def _deviations(printed: PrintedTable, measured: LabelledTable | None) -> list[str]:
    """Return the label columns that differ, apart from those that rows are found by."""
    deviations: dict[str, None] = {}
    if measured is None:
        return []
    keys = _key_columns(printed, measured.labels)
    for name in measured.labels:
        if name in keys:
            continue
        for row in printed.rows:
            line = measured_line(measured, printed, row)
            cell = _cell(printed, row, name)
            if line is not None and not _is_same(line[name], cell):
                deviation = f"{name} is {as_text(line[name])}, printed is {as_text(cell)}"
                deviations[deviation] = None
    return list(deviations)


def _key_columns(printed: PrintedTable, labels: Sequence[str]) -> list[str]:
    """Return the first label columns that together identify a printed row; a constant column is skipped."""
    keys: list[str] = []
    for name in labels:
        values = {_cell(printed, row, name) for row in printed.rows}
        if len(values) == 1 and len(labels) > 1:
            continue
        keys.append(name)
        identities = {tuple(_cell(printed, row, key) for key in keys) for row in printed.rows}
        if len(identities) == len(printed.rows):
            break
    return keys


def _cell(printed: PrintedTable, row: Sequence[Cell], column: str) -> Cell:
    return row[printed.columns.index(column)]


def _is_same(measured: object, printed: object) -> bool:
    return as_text(measured) == as_text(printed)
