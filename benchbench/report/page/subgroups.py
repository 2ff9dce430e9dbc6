"""The subgroups of a page: the scores of the first row and every difference that is shown, behind a fold-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from benchbench.comparison.board import Board
from benchbench.report.page.cells import PageTable, table_of
from benchbench.report.page.names import heading_of
from benchbench.words import count

_LEVEL = 0.05
_SHOWN = (
    *("column", "subgroup", "row", "patients", "mean", "low", "high"),
    *("difference", "difference_low", "difference_high", "p_adjusted"),
)


@dataclass(frozen=True, kw_only=True)
class SubgroupSection:
    """The subgroups of a board."""

    summary: str
    """The number of differences that are shown, and which."""
    table: PageTable | None
    """None where no subgroup is large enough."""
    untested: str
    """The subgroups that are too small, with their numbers of patients."""


def subgroup_sections(boards: Sequence[Board], tables: Sequence[pd.DataFrame]) -> list[SubgroupSection]:
    """Return a section for each board that has a subgroup; `tables` has the table of each."""
    sections: list[SubgroupSection] = []
    for board, table in zip(boards, tables, strict=True):
        if not table.empty:
            sections.append(_section(board, table))
    return sections


def _section(board: Board, table: pd.DataFrame) -> SubgroupSection:
    leader = next(iter(board.rows))
    is_different = table["p_adjusted"].astype(float) < _LEVEL
    tested = table[(table["row"] == leader) | is_different]
    n_subgroups = len(table.loc[table["row"] == leader, ["column", "subgroup"]])
    title = f"{heading_of(board.metric)} on {board.dataset} by subgroup"
    summary = f"{title}: {count(n_subgroups, 'subgroup')} tested, {_describe(table[is_different])}"
    page_table = None
    if n_subgroups:
        page_table = table_of(tested[list(_SHOWN)], caption=title)
    return SubgroupSection(summary=summary, table=page_table, untested=_untested(table[table["row"] == ""]))


def _describe(different: pd.DataFrame) -> str:
    if different.empty:
        return "no difference from the other patients is shown"
    pairs = zip(different["column"], different["subgroup"], strict=True)
    names = dict.fromkeys(f"{column} {value}" for column, value in pairs)
    return f"different from the other patients: {', '.join(names)}"


def _untested(table: pd.DataFrame) -> str:
    if table.empty:
        return ""
    by_column: dict[str, list[str]] = {}
    for line in table.to_dict("records"):
        by_column.setdefault(line["column"], []).append(f"{line['subgroup']} ({line['patients']})")
    columns = [f"{column}: {', '.join(values)}" for column, values in by_column.items()]
    return f"Not tested, because fewer than ten patients or fewer than ten others: {'; '.join(columns)}."
