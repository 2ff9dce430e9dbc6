"""Tables as a page displays them: the text of each cell, its sort key, and the meaning of each heading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchbench.report.page.meanings import meaning

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


def table_of(frame: pd.DataFrame, *, caption: str, muted: Sequence[bool] = ()) -> PageTable:
    """Return a data frame as a table without its empty columns."""
    headings: list[Heading] = []
    columns: list[list[Cell]] = []
    for name, column in frame.items():
        if _is_blank(column) and not frame.empty:
            continue
        cells = [cell_of(str(name), value) for value in column]
        is_number = bool(cells) and all(cell.is_number for cell in cells)
        heading = Heading(name=str(name), meaning=meaning(str(name)), is_number=is_number)
        headings.append(heading)
        columns.append(cells)
    rows = list(zip(*columns, strict=True))
    return PageTable(caption=caption, headings=headings, rows=rows, muted=muted)


def cell_of(name: str, value: Any) -> Cell:
    """Return the cell of a value in the column of this name."""
    if isinstance(value, np.generic):
        value = value.item()
    is_nan = isinstance(value, float) and math.isnan(value)
    if value is None or value is pd.NA or is_nan:
        return Cell("", is_number=True)
    if value is True:
        return Cell("yes", "1")
    if value is False:
        return Cell("no", "0")
    if isinstance(value, float):
        return Cell(_format_number(name, value), f"{value:.6g}", is_number=True)
    if isinstance(value, int):
        return Cell(_format_number(name, value), str(value), is_number=True)
    return Cell(str(value), str(value).lower())


def _format_number(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return f"{value / 2**20:,.0f} MiB"
    if isinstance(value, int):
        return f"{value:,}"
    is_probability = name.startswith("p_") or name in _PROBABILITIES
    if is_probability and 0 <= value < _SMALLEST_P:
        return f"< {_SMALLEST_P}"
    if is_probability:
        return f"{value:.4f}"
    if name in _SIGNED and value < 0:
        return f"\N{MINUS SIGN}{-value:.4f}"
    digits = 1 if abs(value) >= 100 else 4
    return f"{value:,.{digits}f}"


def _is_blank(column: pd.Series) -> bool:
    return bool((column.isna() | (column.astype(str) == "")).all())
