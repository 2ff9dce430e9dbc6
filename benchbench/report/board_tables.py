"""The statistics of boards as tables: standings, differences, ranks and other choices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

import pandas as pd

from benchbench.comparison.board import Board
from benchbench.comparison.verdict import Kind, kind_of
from benchbench.records.record import Value
from benchbench.statistics import EQUAL_DIGITS, Comparison, Interval, Unknown
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
    verdict: str
    wins: int
    ties: int
    losses: int
    p: float | None
    p_wilcoxon: float | None
    p_holm: float | None
    holm_pairs: int
    p_equivalent: float | None
    p_folds: float | None
    p_permutation: float | None
    rank_biserial: float
    new_patient: float
    new_patient_low: float | None
    new_patient_high: float | None
    p_better: float
    p_same: float
    p_worse: float
    false_claim: float | None
    smallest_detectable: float | None
    sd_patients: float
    sd_folds: float
    sd_seeds: float
    patients: int
    folds: int
    note: str


def standing_table(boards: Sequence[Board]) -> pd.DataFrame:
    """Return one line per row of a board, best first: its ranks, its mean and the 95 % interval."""
    lines = []
    for board in boards:
        for label, mean in board.means.items():
            ends = _ends(board.intervals[label])
            line = {**_basis(board), "ranks": str(board.ranks[label]), "row": label, "mean": mean}
            lines.append({**line, **ends, "patients": len(board.panel.patients)})
    return _with_own_settings(boards, pd.DataFrame(lines), ("row",))


def difference_table(boards: Sequence[Board]) -> pd.DataFrame:
    """Return one line per pair of rows of a board, the better mean first; differences are first minus second."""
    lines = []
    for board in boards:
        basis = _basis(board)
        lines += [{**basis, **_difference(pair, kind_of(pair, board.costs))} for pair in board.comparisons]
    return _with_own_settings(boards, table_of_rows(lines, ["dataset", "metric"]), ("first", "second"))


def rank_table(boards: Sequence[Board]) -> pd.DataFrame:
    """Return one line per row of a board: its rank by the mean, and the lowest and highest rank it may have."""
    lines: list[dict[str, Value]] = []
    for board in boards:
        basis = {"dataset": board.dataset, "metric": board.metric}
        for rank, label in ranked(board):
            low, high = board.ranks[label]
            lines.append({**basis, "row": label, "rank": rank, "low": low, "high": high})
    return _with_own_settings(boards, table_of_rows(lines, _RANK_COLUMNS), ("row",))


def ranked(board: Board) -> Iterator[tuple[int, str]]:
    """Yield the rank and the label of every row, best first; equal means share the better rank."""
    means = board.panel.means.round(EQUAL_DIGITS).tolist()
    for place, (label, mean) in enumerate(zip(board.panel.models, means, strict=True), start=1):
        first = means.index(mean) + 1
        yield min(place, first), label


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
    table = table_of_rows(lines, ["dataset", "metric", "choice", "row", "rank"])
    return _with_own_settings(boards, table, ("row",))


def _with_own_settings(boards: Sequence[Board], table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the table with the settings that its rows have of their own, after each column of labels."""
    texts: dict[tuple[str, str], str] = {}
    for board in boards:
        for label, row in board.rows.items():
            if row.own_settings:
                texts[board.dataset, label] = row.own_settings
    for column in columns if texts else ():
        settings = [texts.get(place, "") for place in zip(table["dataset"], table[column], strict=True)]
        name = "own_settings" if len(columns) == 1 else f"{column}_own_settings"
        table.insert(int(table.columns.get_loc(column)) + 1, name, settings)
    return table


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the lines of all tables, which have the same columns; a table without lines or columns if empty."""
    with_lines = [table for table in tables if not table.empty]
    if not with_lines:
        return tables[0] if tables else pd.DataFrame()
    return pd.concat(with_lines, ignore_index=True)


def _basis(board: Board) -> dict[str, Value]:
    return {"dataset": board.dataset, "metric": board.metric, "empty": board.empty}


def _ends(interval: Interval | Unknown) -> _Ends:
    if isinstance(interval, Unknown):
        return _Ends(low=None, high=None, note=interval.reason)
    return _Ends(low=interval.low, high=interval.high, note=interval.warning)


def _difference(comparison: Comparison, kind: Kind) -> _Difference:
    ends, new_patient = _ends(comparison.interval), _ends(comparison.new_patient)
    parts = comparison.components
    return _Difference(
        first=comparison.first,
        second=comparison.second,
        difference=comparison.difference,
        low=ends["low"],
        high=ends["high"],
        verdict=kind,
        wins=comparison.wins,
        ties=comparison.ties,
        losses=comparison.losses,
        p=_known(comparison.p),
        p_wilcoxon=_known(comparison.p_wilcoxon),
        p_holm=_known(comparison.p_holm),
        holm_pairs=comparison.family_size,
        p_equivalent=_known(comparison.p_holm_equivalent),
        p_folds=_known(comparison.p_folds),
        p_permutation=_known(comparison.p_permutation),
        rank_biserial=comparison.rank_biserial,
        new_patient=comparison.p_new_patient,
        new_patient_low=new_patient["low"],
        new_patient_high=new_patient["high"],
        p_better=comparison.rope.better,
        p_same=comparison.rope.same,
        p_worse=comparison.rope.worse,
        false_claim=_known(comparison.false_claim),
        smallest_detectable=_known(comparison.smallest_detectable),
        sd_patients=parts.patients,
        sd_folds=parts.folds,
        sd_seeds=parts.seeds,
        patients=comparison.n,
        folds=comparison.folds,
        note=ends["note"],
    )


def _known(value: float | Unknown) -> float | None:
    if isinstance(value, Unknown):
        return None
    return value
