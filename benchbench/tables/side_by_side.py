"""A printed table in its own shape, with the measured number before each printed one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from benchbench.spec.reported import Cell, PrintedTable
from benchbench.tables.listings import as_text
from benchbench.tables.reproduction import Reproduction, Verdict, measured_position

_UNKNOWN = "\N{EN DASH}"
_MOST_DECIMALS = 9


class ComparedCell(NamedTuple):
    """A cell: a label, or a measured and a printed number."""

    printed: str
    measured: str = ""
    """The measured number, or the setting of a label that differs from the printed one; otherwise empty."""
    verdict: Verdict | None = None
    """None for a label."""
    why: str = ""
    """The reason why the two are not comparable."""
    is_best: bool = False
    """True where the measured number is the best of its row or column, which is bold."""

    @property
    def text(self) -> str:
        """Return "measured (printed)", or the label."""
        return f"{self.measured} ({self.printed})" if self.measured else self.printed


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """A printed table with measured numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[ComparedCell]]

    @property
    def reasons(self) -> dict[str, list[str]]:
        """Reason why numbers are not comparable -> their cells, as row and column; [] for the whole table."""
        cells: dict[str, list[str]] = {}
        n_numbers = 0
        for row in self.rows:
            for name, cell in zip(self.columns, row, strict=True):
                n_numbers += cell.verdict is not None
                if cell.why:
                    cells.setdefault(cell.why, []).append(f"{row[0].printed}, {name}")
        return {why: [] if len(places) == n_numbers else places for why, places in cells.items()}


def side_by_side(reproduction: Reproduction) -> SideBySide:
    """Return a printed table in its own rows and columns, each number with the measured one."""
    printed = reproduction.printed
    decimals = _decimals(printed, _labels(reproduction))
    numbers = iter(reproduction.numbers.to_dict("records"))
    rows = [list(_compared_row(reproduction, row, numbers, decimals)) for row in printed.rows]
    return SideBySide(columns=printed.columns, rows=rows)


def _compared_row(
    reproduction: Reproduction,
    row: Sequence[Cell],
    numbers: Iterator[Mapping[Any, Any]],
    decimals: Mapping[str, int],
) -> Iterator[ComparedCell]:
    """Yield the cells of a printed row; `numbers` continues with its numbers."""
    measured = reproduction.measured
    position = None
    labels = _labels(reproduction)
    if measured is not None:
        position = measured_position(measured, reproduction.printed, row)
    for column, (name, cell) in enumerate(zip(reproduction.printed.columns, row, strict=True)):
        if name in labels:
            setting = ""
            if measured is not None and position is not None:
                setting = as_text(measured.frame[name].iloc[position])
            yield _label(as_text(cell), setting)
            continue
        number = next(numbers)
        yield ComparedCell(
            printed=_format(cell, decimals[name]),
            measured=_format(number["measured"], decimals[name]),
            verdict=number["verdict"],
            why=number["why"],
            is_best=measured is not None and (position, column) in measured.style.best,
        )


def _labels(reproduction: Reproduction) -> Sequence[str]:
    """Return the columns of a printed table that name its rows."""
    if reproduction.measured is None:
        return reproduction.printed.columns[:1]
    return reproduction.measured.labels


def _label(printed: str, setting: str) -> ComparedCell:
    """Return a label with the setting of the benchmark, where that is another one."""
    if setting == printed:
        return ComparedCell(printed)
    return ComparedCell(printed, measured=setting)


def _decimals(printed: PrintedTable, labels: Sequence[str]) -> dict[str, int]:
    """Return the digits after the decimal point by column: 0 in columns of whole numbers.

    A file of printed tables does not keep zeros at the end of a number, so that all other columns have the digits
    of the longest number of the table.
    """
    longest = 0
    with_fractions: set[str] = set()
    for name, cells in zip(printed.columns, zip(*printed.rows, strict=True), strict=True):
        fractions = [cell for cell in cells if isinstance(cell, float)]
        if fractions and name not in labels:
            with_fractions.add(name)
            longest = max(longest, *map(_digits, fractions))
    return {name: longest if name in with_fractions else 0 for name in printed.columns}


def _digits(cell: float) -> int:
    return len(f"{cell:.{_MOST_DECIMALS}f}".rstrip("0").partition(".")[2])


def _format(value: Any, decimals: int) -> str:
    if value is None or pd.isna(value):
        return _UNKNOWN
    if isinstance(value, bool | str):
        return as_text(value)
    return f"{value:,.{decimals}f}"
