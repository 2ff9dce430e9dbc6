"""Whether the order of a board hangs on the average, on the rule for empty masks or on the metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd
from scipy import stats

from benchbench.comparison.board import Board
from benchbench.spec.metric_names import is_lower_better, is_overlap, without_unit
from benchbench.spec.protocol import EmptyPolicy
from benchbench.statistics import tau_b
from benchbench.tables.results import Results, of_runs
from benchbench.tables.summaries import columns_of, summaries

_WORST = 0.05
_AGGREGATES = {"slice": "mean over slices", "pooled": "all voxels pooled"}


Point = tuple[str, str, str]
"""Label, aggregate, and which value of it."""


class _Choice(NamedTuple):
    """One way to put the rows of a board in order."""

    said: str
    metric: str
    empty: EmptyPolicy
    aggregate: str = "case"
    value: str = "mean"


def sensitivity_table(results: Results, board: Board) -> pd.DataFrame:
    """One line a choice, the board's own first: who is first by it, and how much of the order stays.

    `tau` is Kendall's tau-b with the board's own order, `moved` the most places that a row moves; then the rank of
    every row. A choice by which some row has no value is left out.
    """
    labels = list(board.rows)
    lines: list[dict[str, Any]] = []
    own: np.ndarray | None = None
    known: dict[tuple[str, EmptyPolicy], Mapping[Point, float]] = {}
    for choice in _choices(results, board):
        rule = (choice.metric, choice.empty)
        known[rule] = known.get(rule) or _values(results, board, *rule)
        points = [(label, choice.aggregate, choice.value) for label in labels]
        values = np.array([known[rule].get(point, np.nan) for point in points])
        if np.isnan(values).any():
            continue
        towards_best = values if is_lower_better(choice.metric) else -values
        # a tie that only rounding would break is a tie
        ranks = stats.rankdata(towards_best.round(9), method="min")
        own = towards_best if own is None else own
        tau = float(tau_b(towards_best[None], own)[0]) if len(labels) > 1 else np.nan
        first = ", ".join(label for label, rank in zip(labels, ranks, strict=True) if rank == 1)
        moved = int(np.abs(ranks - np.arange(1, len(labels) + 1)).max()) if lines else 0
        places = dict(zip(labels, ranks.astype(int).tolist(), strict=True))
        lines.append({"choice": choice.said, "first": first, "tau": tau, "moved": moved, **places})
    return pd.DataFrame(lines, columns=["choice", "first", "tau", "moved", *labels])


def _choices(results: Results, board: Board) -> Iterator[_Choice]:
    metric, empty = board.metric, board.empty
    yield _Choice(f"{metric}, mean over cases, empty masks: {empty}", metric, empty)
    yield _Choice(f"{metric}, median over cases", metric, empty, value="median")
    yield _Choice(f"{metric}, mean of the worst {_WORST:.0%} of the patients", metric, empty, value="worst")
    yield _Choice(f"{metric}, mean over folds", metric, empty, value="fold_mean")
    if is_overlap(metric):
        for aggregate, said in _AGGREGATES.items():
            yield _Choice(f"{metric}, {said}", metric, empty, aggregate)
        for policy in get_args(EmptyPolicy):
            if policy != empty:
                yield _Choice(f"{metric}, mean over cases, empty masks: {policy}", metric, policy)
    for other in _others(results, board):
        yield _Choice(f"{other}, mean over cases", other, empty)


def _others(results: Results, board: Board) -> Iterator[str]:
    """The further metrics that every row has, by the names of their columns."""
    rows = list(board.rows.values())
    asked = dict.fromkeys(metric for row in rows for metric in results.metrics(row.group.variant))
    for metric in asked:
        named = [columns_of(metric, of_runs(results.cases, row.runs)) for row in rows]
        if len({tuple(names) for names in named}) == 1:
            yield from (name for name in named[0] if name != board.metric)


def _values(results: Results, board: Board, metric: str, empty: EmptyPolicy) -> Mapping[Point, float]:
    """What every row has of a metric under a rule, by label, aggregate and value."""
    name = without_unit(metric)
    found: dict[Point, float] = {}
    for label, row in board.rows.items():
        cases, slices = of_runs(results.cases, row.runs), of_runs(results.slices, row.runs)
        for line in summaries(cases, slices, metrics=[name], empty=empty):
            if (line["metric"], line["region"]) == (metric, "mean"):
                found |= {
                    (label, line["aggregate"], value): line[value] for value in ("mean", "median", "fold_mean")
                }
        found[label, "case", "worst"] = _worst(board, label)
    return found


def _worst(board: Board, label: str) -> float:
    """Of the patients that fare worst under this row, at least one."""
    values = np.sort(board.panel.patient_means[board.panel.models.index(label)])
    count = max(1, round(_WORST * len(values)))
    return float((values[-count:] if board.panel.is_lower_better else values[:count]).mean())
