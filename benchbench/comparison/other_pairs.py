"""The pairs that a comparison of two models shares a family with: all others on the board of the two."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from benchbench.comparison.board import Board, boards, panel_of
from benchbench.comparison.sides import Side
from benchbench.spec.statistics import delta_of
from benchbench.statistics import PairTest, Panel, quick_test
from benchbench.tables.results import Results
from benchbench.tables.summaries import columns_of


class OtherPairs:
    """Finds the p-values of other pairs; reads the boards of a results folder once."""

    def __init__(self) -> None:
        self._boards: dict[int, list[Board]] = {}
        """Identity of the results -> boards."""

    def p_values(self, one: Side, other: Side, metric: str) -> list[PairTest] | None:
        """Return the p-values of every other pair on the board; None if the sides share no board."""
        if one.results is not other.results:
            return None
        board = self._find_board(one, other)
        if board is None:
            return None
        labels = {label for label, row in board.rows.items() if row.group in {one.group, other.group}}
        panel = _panel(one.results, board, metric)
        delta = delta_of(metric, one.results.manifest.delta)
        return [] if panel is None else list(_p_values(panel, labels, delta=delta))

    def _find_board(self, one: Side, other: Side) -> Board | None:
        results = one.results
        if id(results) not in self._boards:
            self._boards[id(results)] = list(boards(results))
        for board in self._boards[id(results)]:
            groups = {row.group for row in board.rows.values()}
            if {one.group, other.group} <= groups:
                return board
        return None


def _panel(results: Results, board: Board, metric: str) -> Panel | None:
    """Return the scores of the rows that have the metric."""
    if metric == board.metric:
        return board.panel
    rows = []
    for row in board.rows.values():
        cases = results.cases_of(row.runs)
        measured = [name for asked in results.metrics(row.group.variant) for name in columns_of(asked, cases)]
        if metric in measured:
            rows.append(row)
    if not rows:
        return None
    panel, _ = panel_of(results, rows, metric=metric, empty=board.empty)
    return panel


def _p_values(panel: Panel, labels: set[str], *, delta: float) -> Iterator[PairTest]:
    for pair in itertools.combinations(panel.models, 2):
        if set(pair) != labels:
            yield quick_test(panel, *pair, delta=delta)
