"""Tables as CSV, Markdown and LaTeX; text from outside is escaped in each."""

from __future__ import annotations

import math
import re

import pandas as pd

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


def to_csv(table: pd.DataFrame) -> str:
    """Comma-separated, six decimals, empty where nothing is known; cells never begin a spreadsheet formula."""
    safe = table.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = [_no_formula(value) for value in safe[name]]
    return str(safe.to_csv(index=False, float_format="%.6f", lineterminator="\n"))


def to_markdown(table: pd.DataFrame) -> str:
    """A pipe table, four decimals."""
    head = [_markdown(str(name)) for name in table.columns]
    rule = ["---:" if pd.api.types.is_numeric_dtype(table[name]) else "---" for name in table.columns]
    body = [[_markdown(_cell(value)) for value in row] for row in table.itertuples(index=False, name=None)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, rule, *body])


def to_latex(table: pd.DataFrame, *, caption: str) -> str:
    """A booktabs table, four decimals."""
    columns = "".join("r" if pd.api.types.is_numeric_dtype(table[name]) else "l" for name in table.columns)
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


def _markdown(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in re.sub(r"\s+", " ", text))


def _no_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@"} else value
