"""Tables as CSV, Markdown and LaTeX; text from outside is escaped in each."""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    # at the start of a row these would belong to the \\ before it
    "[": "{[}",
    "*": "{*}",
}


def to_csv(table: pd.DataFrame) -> str:
    """Comma-separated, six decimals, empty where nothing is known; cells never begin a spreadsheet formula."""
    columns = [each if pd.api.types.is_numeric_dtype(each) else each.map(_no_formula) for _, each in table.items()]
    safe = pd.DataFrame(dict(enumerate(columns))).set_axis([_no_formula(str(name)) for name in table], axis=1)
    return str(safe.to_csv(index=False, float_format="%.6f", lineterminator="\n"))


def to_markdown(table: pd.DataFrame) -> str:
    """A pipe table, four decimals."""
    head = [plain_markdown(str(name)) for name in table.columns]
    rule = ["---:" if pd.api.types.is_numeric_dtype(column) else "---" for _, column in table.items()]
    body = [[plain_markdown(_cell(value)) for value in row] for row in table.itertuples(index=False, name=None)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, rule, *body])


def plain_markdown(text: str) -> str:
    """Text from outside on one line of Markdown that shows it as it is: no tag, entity, link or end of a cell."""
    line = re.sub(r"\s+", " ", text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"[\\|*`\[]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", line)


def to_latex(table: pd.DataFrame, *, caption: str) -> str:
    """A booktabs table, four decimals."""
    columns = "".join("r" if pd.api.types.is_numeric_dtype(column) else "l" for _, column in table.items())
    head = " & ".join(_latex(str(name)) for name in table.columns)
    body = [" & ".join(_latex(_cell(value)) for value in row) for row in table.itertuples(index=False, name=None)]
    lines = [
        r"\begin{table}",
        rf"\caption{{{_latex(caption)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        rf"{head} \\",
        r"\midrule",
        *(rf"{line} \\" for line in body),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in re.sub(r"\s+", " ", text))


def _no_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in set("=+-@\t\r") else value
