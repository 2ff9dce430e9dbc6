"""The statistics of boards as tables: standings, differences, ranks and other choices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

import pandas as pd

from benchbench.comparison.board import Board
from benchbench.results.record import Value
from benchbench.statistics import Comparison, Interval, Unknown
from benchbench.tables.results import table_of_rows

_RANK_COLUMNS = ("dataset", "metric", "row", "rank", "low", "high")
_CHOICE_COLUMNS = ("choice", "tau", "moved", "note")


class _Ends(TypedDict):
    """The ends of an interval; None where there is none, with the reason as the note."""

    low: float | None
    high: float | None
    note: str


class _Difference(TypedDict):
    """A pair of rows in `differences.csv`; differences are first minus second."""

    first: str
    second: str
    difference: float
    low: float | None
    high: float | None
    separable: str
    wins: int
    ties: int
    losses: int
    p: float | None
    p_holm: float | None
    holm_pairs: int
    p_folds: float | None
    p_permutation: float | None
    rank_biserial: float
    p_better: float
    p_same: float
    p_worse: float
    false_claim: float | None
    smallest_detectable: float | None
    patients: int
    folds: int
    note: str


def standing_table(boards: Sequence[Board]) -> pd.DataFrame:
    """Return one line per row of a board, best first: its tier, its mean and the 95 % interval."""
    lines = []
    for board in boards:
        for label, mean in board.means.items():
            ends = _ends(board.intervals[label])
            line = {**_basis(board), "tier": board.tiers[label], "row": label, "mean": mean}
            lines.append({**line, **ends, "patients": len(board.panel.patients)})
    return pd.DataFrame(lines)


def difference_table(boards: Sequence[Board]) -> pd.DataFrame:
    """Return one line per pair of rows of a board, the better mean first; differences are first minus second."""
    lines = []
    for board in boards:
        basis = _basis(board)
        lines += [{**basis, **_difference(comparison)} for comparison in board.comparisons]
    return table_of_rows(lines, ["dataset", "metric"])


def rank_table(boards: Sequence[Board]) -> pd.DataFrame:
    """Return one line per row of a board: its rank, the range of 95 % of the resamplings, every rank's share."""
    lines: list[dict[str, Value]] = []
    for board in boards:
        lines += _ranks(board)
    return table_of_rows(lines, _RANK_COLUMNS)


def choice_table(boards: Sequence[Board], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return one line per row and choice of average, rule or metric: the rank of the row under that choice.

    `tables` has the `sensitivity_table` of each board.
    """
    lines = []
    for board, table in zip(boards, tables, strict=True):
        for choice in table.to_dict("records"):
            common = {"dataset": board.dataset, "metric": board.metric}
            common |= {name: choice[name] for name in _CHOICE_COLUMNS}
            lines += [{**common, "row": label, "rank": choice[label]} for label in board.rows]
    return table_of_rows(lines, ["dataset", "metric", "choice", "row", "rank"])


def _basis(board: Board) -> dict[str, Value]:
    return {"dataset": board.dataset, "metric": board.metric, "empty": board.empty}


def _ends(interval: Interval | Unknown) -> _Ends:
    if isinstance(interval, Unknown):
        return _Ends(low=None, high=None, note=interval.reason)
    return _Ends(low=interval.low, high=interval.high, note=interval.warning)


def _difference(comparison: Comparison) -> _Difference:
    ends = _ends(comparison.interval)
    return _Difference(
        first=comparison.first,
        second=comparison.second,
        difference=comparison.difference,
        low=ends["low"],
        high=ends["high"],
        separable="yes" if comparison.is_separable else "no",
        wins=comparison.wins,
        ties=comparison.ties,
        losses=comparison.losses,
        p=_known(comparison.p_wilcoxon),
        p_holm=_known(comparison.p_holm),
        holm_pairs=comparison.family_size,
        p_folds=_known(comparison.p_folds),
        p_permutation=_known(comparison.p_permutation),
        rank_biserial=comparison.rank_biserial,
        p_better=comparison.rope.better,
        p_same=comparison.rope.same,
        p_worse=comparison.rope.worse,
        false_claim=_known(comparison.false_claim),
        smallest_detectable=_known(comparison.smallest_detectable),
        patients=comparison.n,
        folds=comparison.folds,
        note=ends["note"],
    )


def _known(value: float | Unknown) -> float | None:
    if isinstance(value, Unknown):
        return None
    return value


def _ranks(board: Board) -> Iterator[dict[str, Value]]:
    stability = board.stability
    if isinstance(stability, Unknown):
        return
    for number, label in enumerate(stability.models):
        line: dict[str, Value] = {
            "dataset": board.dataset,
            "metric": board.metric,
            "row": label,
            "rank": stability.ranks[number],
            "low": stability.low[number],
            "high": stability.high[number],
        }
        for rank, share in enumerate(stability.shares[number], start=1):
            line[f"share_{rank}"] = float(share)
        yield line
