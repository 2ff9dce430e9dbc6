"""Tables as a page displays them: the text of each cell, its sort key, and the meaning of each heading."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchbench.plan.settings import changed_settings
from benchbench.report.figures.metric_text import unit_of
from benchbench.report.page.meanings import meaning
from benchbench.report.page.names import Direction, direction_of, heading_of
from benchbench.tables.style import Style

_PROBABILITIES = {"p", "false_claim"}
_SMALLEST_P = 0.0001
_LARGE, _LARGE_DECIMALS, _DECIMALS = 100, 1, 4
_OF_DISTANCES = 2
_PROSE = {
    "note": "",
    "external": "predictions of another tool: ",
    "own_settings": "settings of its own: ",
    "first_own_settings": "settings of its own: ",
    "second_own_settings": "settings of its own: ",
    "ensemble_of": "ensemble of ",
    "contamination": "",
    "unsteady": "differs between runs: ",
    "uncounted": "not counted: ",
    "trained_as": "trained as ",
}
"""Column of sentences -> their beginning: a page prints them below the table and not in cells."""
_TIMES = ("ms_per_case_p50", "images_per_second", "train_seconds")
_NAMED_BY = {"second_own_settings": "second"}
"""Column of sentences -> the column that names their rows; the first one for all others."""


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
    """Name of the column in files."""
    text: str
    """Name of the column as a page prints it."""
    meaning: str
    is_number: bool
    direction: Direction = ""
    is_hidden: bool = False
    """True for a column that a page shows on request."""


@dataclass(frozen=True, kw_only=True)
class PageTable:
    """A table with a caption."""

    caption: str
    headings: Sequence[Heading]
    rows: Sequence[Sequence[Cell]]
    muted: Sequence[bool] = ()
    """True for reference rows, which are not ranked; empty if there are none."""
    notes: Sequence[str] = ()
    """Sentences on some rows, printed below the table."""

    def with_main(self, names: Collection[str]) -> PageTable:
        """Return the table with only these columns displayed at first, and the others on request."""
        headings = [replace(heading, is_hidden=heading.name not in names) for heading in self.headings]
        return replace(self, headings=headings)

    def with_notes(self, notes: Sequence[str]) -> PageTable:
        """Return the table with further notes."""
        return replace(self, notes=[*self.notes, *notes])


def planned_table(frame: pd.DataFrame, style: Style, *, caption: str) -> PageTable:
    """Return a data frame as a table with all its columns, also those that no run has a value of yet.

    The names of the columns, which the benchmark file chose, are unchanged.
    """
    columns: list[list[Cell]] = []
    headings: list[Heading] = []
    for number, (name, column) in enumerate(frame.items()):
        cells = []
        for row, value in enumerate(column):
            cell = cell_of(str(name), value, decimals=style.decimals)
            cells.append(cell._replace(is_best=(row, number) in style.best))
        headings.append(_heading(str(name), cells, text=str(name)))
        columns.append(cells)
    return PageTable(caption=caption, headings=headings, rows=list(zip(*columns, strict=True)))


def table_of(
    frame: pd.DataFrame,
    *,
    caption: str,
    muted: Sequence[bool] = (),
    keep: Collection[str] = (),
    own_names: Collection[str] = (),
) -> PageTable:
    """Return a data frame as a table without its empty columns, apart from those in `keep`.

    Columns of sentences become notes. A name in `own_names` is that of a model, fold or region, and unchanged.
    """
    headings: list[Heading] = []
    columns: list[list[Cell]] = []
    prose: list[str] = []
    for name, column in frame.items():
        if name in _PROSE and name not in own_names:
            prose.append(str(name))
            continue
        if _is_blank(column) and not frame.empty and name not in keep:
            continue
        decimals = decimals_of(str(name), column)
        cells = [cell_of(str(name), value, decimals=decimals) for value in column]
        text = str(name) if name in own_names else heading_of(str(name))
        headings.append(_heading(str(name), cells, text=text))
        columns.append(cells)
    rows = list(zip(*columns, strict=True))
    return PageTable(caption=caption, headings=headings, rows=rows, muted=muted, notes=_notes(frame, prose))


def without_constants(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the frame without those of the columns that have the same value in all rows."""
    constant = [name for name in names if name in frame and len(frame[name].unique()) <= 1]
    return frame.drop(columns=constant)


def decimals_of(name: str, column: pd.Series) -> int | None:
    """Return the decimals of all numbers of a column; None for a column without fractions."""
    numbers = pd.to_numeric(column, errors="coerce").dropna()
    if not pd.api.types.is_float_dtype(column) and not pd.api.types.is_object_dtype(column):
        return None
    if unit_of(name):
        return _OF_DISTANCES
    largest = float(numbers.abs().max()) if len(numbers) else 0.0
    return _LARGE_DECIMALS if largest >= _LARGE else _DECIMALS


def _notes(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Return each sentence of these columns once, with the rows that have it."""
    rows: dict[str, dict[str, None]] = {}
    for column in columns:
        named_by = _NAMED_BY.get(column, str(frame.columns[0]))
        texts = frame[column]
        if column.endswith("own_settings"):
            texts = texts.fillna("").map(changed_settings)
        for row, text in zip(frame[named_by], texts, strict=True):
            if isinstance(text, str) and text:
                rows.setdefault(f"{_PROSE[column]}{_readable(text)}", {})[str(row)] = None
    return [f"{'; '.join(names)}: {sentence}" for sentence, names in rows.items()]


def _readable(text: str) -> str:
    """Return a sentence with the names of times as headings have them."""
    for name in _TIMES:
        text = text.replace(name, heading_of(name))
    return text


def _heading(name: str, cells: Sequence[Cell], *, text: str) -> Heading:
    is_number = bool(cells) and all(cell.is_number for cell in cells)
    is_ours = text != name
    return Heading(
        name=name,
        text=text,
        meaning=meaning(name),
        is_number=is_number,
        direction=direction_of(name) if is_ours else "",
    )


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
    if decimals is None:
        decimals = _LARGE_DECIMALS if abs(value) >= _LARGE else _DECIMALS
    return f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _format_probability(value: float) -> str:
    if 0 <= value < _SMALLEST_P:
        return f"< {_SMALLEST_P}"
    return f"{value:.4f}"


def _is_blank(column: pd.Series) -> bool:
    return bool((column.isna() | (column.astype(str) == "")).all())
