"""A table as a page shows it: every cell with its text, what it is sorted by, and what a heading means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchbench.report.page.meanings import meaning


class Cell(NamedTuple):
    """What stands in a cell; `sort` is empty where nothing is known, and such rows come last."""

    text: str
    sort: str = ""
    is_number: bool = False
    span: tuple[float, float, float] | None = None
    """Low, middle and high end of an interval, each between 0 and 100, to be drawn."""


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What a column is called and means."""

    name: str
    meaning: str
    is_number: bool


@dataclass(frozen=True, kw_only=True)
class PageTable:
    """A table with a caption; rows that are `muted` are for reference and never ranked."""

    caption: str
    headings: Sequence[Heading]
    rows: Sequence[Sequence[Cell]]
    muted: Sequence[bool] = ()


def table_of(
    frame: pd.DataFrame,
    *,
    caption: str,
    muted: Sequence[bool] = (),
) -> PageTable:
    """A page's table of a data frame, without columns that are empty throughout."""
    kept = [at for at in range(len(frame.columns)) if frame.empty or not _is_blank(frame.iloc[:, at])]
    columns = [frame.iloc[:, at] for at in kept]
    cells = [[cell_of(str(column.name), value) for value in column] for column in columns]
    headings = [
        Heading(
            name=str(column.name),
            meaning=meaning(str(column.name)),
            is_number=bool(shown) and all(cell.is_number for cell in shown),
        )
        for column, shown in zip(columns, cells, strict=True)
    ]
    return PageTable(caption=caption, headings=headings, rows=list(zip(*cells, strict=True)), muted=muted)


def cell_of(name: str, value: Any) -> Cell:
    """A value of the column of this name, as people read it."""
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):  # noqa: PLR0124 nan
        return Cell("", is_number=True)
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool):
        return Cell("yes" if value else "no", str(int(value)))
    if isinstance(value, int | float):
        return Cell(_number(name, value), f"{value:.6g}" if isinstance(value, float) else str(value), True)
    return Cell(str(value), str(value).lower())


def _number(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return f"{value / 2**20:,.0f} MiB"
    if isinstance(value, int):
        return f"{value:,}"
    if name.startswith("p_") or name in {"p", "false_claim"}:
        return "< 0.0001" if 0 <= value < 0.0001 else f"{value:.4f}"
    if name in {"difference", "low", "high", "rank_biserial"} and value < 0:
        return f"\N{MINUS SIGN}{-value:.4f}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4f}"


def _is_blank(column: pd.Series) -> bool:
    return bool((column.isna() | (column.astype(str) == "")).all())
