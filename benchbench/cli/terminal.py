"""Text and tables for the terminal: no value is ever cut, and nothing is wider than the terminal if possible.

Output that goes to a file or a pipe has no limit of width.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

_GAP = "  "


def terminal_width() -> int | None:
    """Return the number of columns of the terminal; None if the output is not a terminal."""
    if not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def print_text(text: str, *, indent: int = 2) -> None:
    """Print a line; on a terminal it is wrapped between words, with its further lines indented."""
    for line in wrap(plain(text), terminal_width(), indent=indent):
        click.echo(line)


def wrap(text: str, width: int | None, *, indent: int = 2) -> list[str]:
    """Return the lines of a text, broken between words; a word that is wider than `width` stays whole."""
    if width is None or cell_width(text) <= width:
        return [text]
    lines = []
    line = ""
    # textwrap counts letters, of which some take two columns
    for word in re.findall(r"\s*\S+", text):
        if line.strip() and cell_width(line + word) > width:
            lines.append(line)
            line = " " * indent + word.lstrip()
        else:
            line += word
    return [*lines, line]


def plain(value: object) -> str:
    """Return the text of a value, with control characters escaped: they would change the terminal's state."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(map(_escape, text))


def _escape(letter: str) -> str:
    if letter.isprintable():
        return letter
    return ascii(letter)[1:-1]  # without quotes


def cell_width(text: str) -> int:
    """Return how many columns a text takes; a Chinese character, for example, takes two."""
    from rich.cells import cell_len  # noqa: PLC0415 printing only

    return cell_len(text)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table."""

    name: str
    is_number: bool = False
    """True for numbers, which are aligned to the right."""
    is_key: bool = False
    """True if the column names the row; every part of a split table has it."""
    is_fixed: bool = False
    """True if the column stays in the table when its value is the same in every row."""


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """A table as text; the first `n_keys` columns name the row."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    n_keys: int

    @property
    def widths(self) -> list[int]:
        widths = []
        for place, column in enumerate(self.columns):
            cells = [column.name, *(row[place] for row in self.rows)]
            widths.append(max(cell_width(cell) for cell in cells))
        return widths

    def of(self, places: Sequence[int]) -> _Grid:
        """Return the table of some of the columns, in this order."""
        columns = [self.columns[place] for place in places]
        rows = [[row[place] for place in places] for row in self.rows]
        return _Grid(columns=columns, rows=rows, n_keys=sum(place < self.n_keys for place in places))


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
    """Print a table; columns that are the same in every row become one line above it.

    A table that is wider than the terminal is split into parts, or printed with rows and columns exchanged,
    whichever takes fewer lines; if neither fits, each row is a list of names and values.
    """
    for line in format_table(columns, rows, title=title, width=terminal_width()):
        click.echo(line)


def format_table(
    columns: Sequence[Column], rows: Sequence[Sequence[Any]], *, title: str = "", width: int | None = None
) -> list[str]:
    """Return the lines of a table that is at most `width` columns wide; None is no limit."""
    lines = wrap(plain(title), width) if title else []
    cells = [[plain(value) for value in row] for row in rows]
    grid, shared = _without_constants(columns, cells)
    if shared:
        lines += wrap(f"in every row: {', '.join(shared)}", width)
    if not grid.rows or not grid.columns:
        return lines
    parts = _fit(grid, width)
    if parts is None:
        return lines + list(_list_lines(grid, width))
    for number, part in enumerate(parts):
        if number:
            lines.append("")
        lines += _grid_lines(part)
    return lines


def _without_constants(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> tuple[_Grid, list[str]]:
    """Return the table without columns that say nothing, keys first, and the name and value of constant ones."""
    keys = []
    others = []
    shared = []
    for place, column in enumerate(columns):
        constant = None if column.is_fixed else _constant([row[place] for row in rows])
        if constant == "":
            continue
        if constant is not None and len(rows) > 1:
            shared.append(f"{column.name} {constant}")
        elif column.is_key:
            keys.append(place)
        else:
            others.append(place)
    grid = _Grid(columns=columns, rows=rows, n_keys=len(columns)).of([*keys, *others])
    return replace(grid, n_keys=len(keys)), shared


def _constant(cells: Sequence[str]) -> str | None:
    """Return the cell that all rows have; None if they differ."""
    if len(set(cells)) == 1:
        return cells[0]
    return None


def _fit(grid: _Grid, width: int | None) -> list[_Grid] | None:
    """Return the parts in which a table is printed; None if not even a single column fits."""
    if width is None or _total_width(grid.widths) <= width:
        return [grid]
    candidates = []
    for candidate in (grid, _transpose(grid)):
        parts = _split(candidate, width)
        if parts is not None:
            candidates.append(parts)
    return min(candidates, key=_count_lines, default=None)


def _split(grid: _Grid, width: int) -> list[_Grid] | None:
    """Return parts with the keys and as many other columns as fit; None if one column does not."""
    widths = grid.widths
    keys = list(range(grid.n_keys))
    parts: list[list[int]] = []
    for place in range(grid.n_keys, len(widths)):
        if parts and _total_width([widths[other] for other in [*keys, *parts[-1], place]]) <= width:
            parts[-1].append(place)
        elif _total_width([widths[other] for other in [*keys, place]]) <= width:
            parts.append([place])
        else:
            return None
    return [grid.of([*keys, *places]) for places in parts] or None


def _transpose(grid: _Grid) -> _Grid:
    """Return the table with a column for each row, whose heading is the row's keys."""
    heading = " ".join(column.name for column in grid.columns[: grid.n_keys])
    columns = [Column(name=heading, is_key=True)]
    for number, row in enumerate(grid.rows, start=1):
        name = " ".join(row[: grid.n_keys]) or str(number)
        columns.append(Column(name=name, is_number=True))
    names = [column.name for column in grid.columns[grid.n_keys :]]
    columns_of_values = list(zip(*grid.rows, strict=True))[grid.n_keys :]
    rows = [[name, *values] for name, values in zip(names, columns_of_values, strict=True)]
    return _Grid(columns=columns, rows=rows, n_keys=1)


def _count_lines(parts: Sequence[_Grid]) -> int:
    return sum(len(part.rows) + 3 for part in parts)  # heading, rule and blank line


def _total_width(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _grid_lines(grid: _Grid) -> Iterator[str]:
    widths = grid.widths
    yield _aligned([column.name for column in grid.columns], grid, widths)
    yield _GAP.join("-" * width for width in widths)
    for row in grid.rows:
        yield _aligned(row, grid, widths)


def _aligned(cells: Sequence[str], grid: _Grid, widths: Sequence[int]) -> str:
    padded = []
    for cell, column, width in zip(cells, grid.columns, widths, strict=True):
        space = " " * (width - cell_width(cell))
        padded.append(space + cell if column.is_number else cell + space)
    return _GAP.join(padded).rstrip()


def _list_lines(grid: _Grid, width: int | None) -> Iterator[str]:
    """Yield each row as its keys, followed by a line for each other column."""
    names = [column.name for column in grid.columns[grid.n_keys :]]
    indent = max(map(cell_width, names), default=0) + 4
    for row in grid.rows:
        yield from wrap(" ".join(row[: grid.n_keys]), width)
        for name, cell in zip(names, row[grid.n_keys :], strict=True):
            space = " " * (indent - 2 - cell_width(name))
            yield from wrap(f"  {name}{space}{cell}".rstrip(), width, indent=indent)
