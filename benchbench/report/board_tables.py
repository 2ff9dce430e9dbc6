"""The statistics of boards as tables: who stands where, by how much, and how surely."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from benchbench.comparison.board import Board
from benchbench.statistics import Comparison, Interval, Unknown

_RANKS = ("dataset", "metric", "row", "rank", "low", "high")


def standing_table(boards: Sequence[Board]) -> pd.DataFrame:
    """One line a row of a board, best first: its tier, mean and 95 % interval."""
    lines = [
        {
            **_of(board),
            "tier": board.tiers[label],
            "row": label,
            "mean": mean,
            **_ends(board.intervals[label]),
            "patients": len(board.panel.patients),
        }
        for board in boards
        for label, mean in board.means.items()
    ]
    return pd.DataFrame(lines)


def difference_table(boards: Sequence[Board]) -> pd.DataFrame:
    """One line for every two rows of a board, the better mean first; differences are first minus second."""
    lines = [{**_of(board), **_difference(each)} for board in boards for each in board.comparisons]
    return pd.DataFrame(lines, columns=None if lines else ["dataset", "metric"])


def rank_table(boards: Sequence[Board]) -> pd.DataFrame:
    """One line a row of a board: its rank, between which ranks it was in 95 of 100 resamplings, and how often."""
    lines = [line for board in boards for line in _ranks(board)]
    return pd.DataFrame(lines, columns=None if lines else list(_RANKS))


def choice_table(boards: Sequence[Board], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One line a choice of average, rule or metric and row: the rank that the row would have by it.

    `tables` are the boards' `sensitivity_table`.
    """
    lines = [
        {"dataset": board.dataset, "metric": board.metric, **named, "row": row, "rank": line[row]}
        for board, table in zip(boards, tables, strict=True)
        for line in table.to_dict("records")
        for named in [{name: line[name] for name in ("choice", "tau", "moved")}]
        for row in board.rows
    ]
    return pd.DataFrame(lines, columns=None if lines else ["dataset", "metric", "choice", "row", "rank"])


def _of(board: Board) -> dict[str, str]:
    return {"dataset": board.dataset, "metric": board.metric, "empty": board.empty}


def _ends(interval: Interval | Unknown) -> dict[str, Any]:
    if isinstance(interval, Unknown):
        return {"low": None, "high": None, "note": interval.reason}
    return {"low": interval.low, "high": interval.high, "note": interval.warning}


def _difference(found: Comparison) -> dict[str, Any]:
    ends = _ends(found.interval)
    return {
        "first": found.first,
        "second": found.second,
        "difference": found.difference,
        "low": ends["low"],
        "high": ends["high"],
        "separable": "yes" if found.is_separable else "no",
        "wins": found.wins,
        "ties": found.ties,
        "losses": found.losses,
        "p": _known(found.p_wilcoxon),
        "p_holm": _known(found.p_holm),
        "p_folds": _known(found.p_folds),
        "p_permutation": _known(found.p_permutation),
        "rank_biserial": found.rank_biserial,
        "p_better": found.rope.better,
        "p_same": found.rope.same,
        "p_worse": found.rope.worse,
        "false_claim": _known(found.false_claim),
        "smallest_detectable": _known(found.smallest_detectable),
        "patients": found.n,
        "folds": found.folds,
        "note": ends["note"],
    }


def _known(value: float | Unknown) -> float | None:
    return None if isinstance(value, Unknown) else value


def _ranks(board: Board) -> Iterator[dict[str, Any]]:
    stability = board.stability
    if isinstance(stability, Unknown):
        return
    for at, label in enumerate(stability.models):
        shares = {f"share_{rank}": float(share) for rank, share in enumerate(stability.shares[at], start=1)}
        yield {
            "dataset": board.dataset,
            "metric": board.metric,
            "row": label,
            "rank": stability.ranks[at],
            "low": stability.low[at],
            "high": stability.high[at],
            **shares,
        }
