"""Tables as a page displays them: the text of each cell, its sort key, and the meaning of each heading."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchbench.report.page.meanings import meaning
from benchbench.tables.style import Style

_SIGNED = {"difference", "low", "high", "rank_biserial"}
_PROBABILITIES = {"p", "false_claim"}
_SMALLEST_P = 0.0001


class Span(NamedTuple):
    """An interval to draw, on a scale from 0 to 100."""

    low: float
    middle: float
    high: float


class Cell(NamedTuple):
    """The content of a cell."""

    text: str
    sort: str = ""
    """The key that a column is sorted by; rows with an empty key, where the value is unknown, come last."""
    is_number: bool = False
    is_best: bool = False
    """True for the best value of a row or column, which is bold."""
    span: Span | None = None


@dataclass(frozen=True, kw_only=True)
class Heading:
    """The heading of a column."""

    name: str
    meaning: str
    is_number: bool


@dataclass(frozen=True, kw_only=True)
class PageTable:
    """A table with a caption."""

    caption: str
    headings: Sequence[Heading]
    rows: Sequence[Sequence[Cell]]
    muted: Sequence[bool] = ()
    """True for reference rows, which are not ranked; empty if there are none."""


def planned_table(frame: pd.DataFrame, style: Style, *, caption: str) -> PageTable:
    """Return a data frame as a table with all its columns, also those that no run has a value of yet."""
    columns: list[list[Cell]] = []
    headings: list[Heading] = []
    for number, (name, column) in enumerate(frame.items()):
        cells = []
        for row, value in enumerate(column):
            cell = cell_of(str(name), value, decimals=style.decimals)
            cells.append(cell._replace(is_best=(row, number) in style.best))
        headings.append(_heading(str(name), cells))
        columns.append(cells)
    return PageTable(caption=caption, headings=headings, rows=list(zip(*columns, strict=True)))


def table_of(
    frame: pd.DataFrame, *, caption: str, muted: Sequence[bool] = (), keep: Collection[str] = ()
) -> PageTable:
    """Return a data frame as a table without its empty columns, apart from those in `keep`."""
    headings: list[Heading] = []
    columns: list[list[Cell]] = []
    for name, column in frame.items():
        if _is_blank(column) and not frame.empty and name not in keep:
            continue
        cells = [cell_of(str(name), value) for value in column]
        headings.append(_heading(str(name), cells))
        columns.append(cells)
    rows = list(zip(*columns, strict=True))
    return PageTable(caption=caption, headings=headings, rows=rows, muted=muted)


def _heading(name: str, cells: Sequence[Cell]) -> Heading:
    is_number = bool(cells) and all(cell.is_number for cell in cells)
    return Heading(name=name, meaning=meaning(name), is_number=is_number)


def cell_of(name: str, value: Any, *, decimals: int | None = None) -> Cell:
    """Return the cell of a value in the column of this name; without `decimals`, large numbers have fewer."""
    if isinstance(value, np.generic):
        value = value.item()
    is_nan = isinstance(value, float) and math.isnan(value)
    if value is None or value is pd.NA or is_nan:
        return Cell("", is_number=True)
    if value is True:
        return Cell("yes", "1")
    if value is False:
        return Cell("no", "0")
    if isinstance(value, int | float):
        sort = f"{value:.6g}" if isinstance(value, float) else str(value)
        return Cell(_format_number(name, value, decimals), sort, is_number=True)
    return Cell(str(value), str(value).lower())


def _format_number(name: str, value: float, decimals: int | None) -> str:
    if name.endswith("_bytes"):
        return f"{value / 2**20:,.0f} MiB"
    if isinstance(value, int):
        return f"{value:,}"
    if name.startswith("p_") or name in _PROBABILITIES:
        return _format_probability(value)
    if name in _SIGNED and value < 0:
        return f"\N{MINUS SIGN}{-value:.4f}"
    if decimals is None:
        decimals = 1 if abs(value) >= 100 else 4
    return f"{value:,.{decimals}f}"


def _format_probability(value: float) -> str:
    if 0 <= value < _SMALLEST_P:
        return f"< {_SMALLEST_P}"
    return f"{value:.4f}"


def _is_blank(column: pd.Series) -> bool:
    return bool((column.isna() | (column.astype(str) == "")).all())
