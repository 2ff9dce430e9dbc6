"""Tables as CSV, Markdown and LaTeX; text that is not benchbench's own is escaped in each format."""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd

from benchbench.tables.style import PLAIN, Style

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    # at the start of a row, these would be arguments of the \\ before it
    "[": "{[}",
    "*": "{*}",
}
_FORMULA = tuple("=+-@\t\r")
"""Characters that begin a formula in a spreadsheet."""


def to_csv(table: pd.DataFrame) -> str:
    """Return comma-separated values with six decimals, empty where unknown; no cell is a spreadsheet formula."""
    columns = {}
    for number, (_, column) in enumerate(table.items()):
        is_numeric = pd.api.types.is_numeric_dtype(column)
        columns[number] = column if is_numeric else column.map(_no_formula)
    headings = [_no_formula(str(name)) for name in table]
    safe = pd.DataFrame(columns).set_axis(headings, axis=1)
    return str(safe.to_csv(index=False, float_format="%.6f", lineterminator="\n"))


def to_markdown(table: pd.DataFrame, style: Style = PLAIN) -> str:
    """Return a pipe table, numbers aligned to the right."""
    headings = [plain_markdown(str(name)) for name in table.columns]
    alignments = ["---:" if is_number else "---" for is_number in _are_numeric(table)]
    lines = [_pipe_row(headings), _pipe_row(alignments)]
    for number, row in enumerate(table.itertuples(index=False, name=None)):
        cells = [plain_markdown(_cell(value, style)) for value in row]
        lines.append(_pipe_row(_with_bold(cells, number, style, template="**{}**")))
    return "".join(lines)


def pipe_table(headings: list[str], rows: list[list[str]]) -> str:
    """Return a pipe table of cells that are Markdown already."""
    lines = [_pipe_row(headings), _pipe_row(["---"] * len(headings))]
    lines += map(_pipe_row, rows)
    return "".join(lines)


def plain_markdown(text: str) -> str:
    """Return a line of Markdown that displays the text literally, without tags, links, emphasis or new cells."""
    line = re.sub(r"\s+", " ", text)
    line = line.replace("&", "&amp;").replace("<", "&lt;")
    # an underscore inside a word is no emphasis
    return re.sub(r"[\\|*`\[]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", line)


def to_latex(table: pd.DataFrame, style: Style = PLAIN, *, caption: str) -> str:
    """Return a booktabs table."""
    alignments = "".join("r" if is_number else "l" for is_number in _are_numeric(table))
    headings = " & ".join(_latex(str(name)) for name in table.columns)
    body = []
    for number, row in enumerate(table.itertuples(index=False, name=None)):
        cells = [_latex(_cell(value, style)) for value in row]
        line = " & ".join(_with_bold(cells, number, style, template=r"\textbf{{{}}}"))
        body.append(rf"{line} \\")
    lines = [
        r"\begin{table}",
        rf"\caption{{{_latex(caption)}}}",
        rf"\begin{{tabular}}{{{alignments}}}",
        r"\toprule",
        rf"{headings} \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _pipe_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _are_numeric(table: pd.DataFrame) -> list[bool]:
    return [pd.api.types.is_numeric_dtype(column) for _, column in table.items()]


def _with_bold(cells: list[str], row: int, style: Style, *, template: str) -> list[str]:
    for number, cell in enumerate(cells):
        if (row, number) in style.best:
            cells[number] = template.format(cell)
    return cells


def _cell(value: object, style: Style) -> str:
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return f"{value:.{style.decimals}f}"
    return str(value)


def _latex(text: str) -> str:
    line = re.sub(r"\s+", " ", text)
    return "".join(_LATEX.get(letter, letter) for letter in line)


def _no_formula(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
