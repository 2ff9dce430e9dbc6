"""The order of a board under other ways to average, other rules for empty masks and other metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd
import scipy

from benchbench.comparison.board import Board
from benchbench.images.arrays import Floats
from benchbench.spec.metric_names import is_lower_better, is_overlap, without_unit
from benchbench.spec.protocol import EmptyPolicy
from benchbench.statistics import EQUAL_DIGITS, tau_b
from benchbench.tables.results import Results
from benchbench.tables.summaries import MEAN_REGION, CountTables, columns_of, summaries_of

_OWN_CHOICE = "the order of the board"
_WORST = 0.05
_AGGREGATES = {"slice": "mean over slices", "pooled": "all voxels pooled"}


class _Choice(NamedTuple):
    """One way to order the rows of a board."""

    description: str
    metric: str
    empty: EmptyPolicy
    aggregate: str = "case"
    statistic: str = "mean"


class _Cell(NamedTuple):
    """The place of a value among all values of a metric."""

    label: str
    aggregate: str
    statistic: str


_Values = Mapping[_Cell, float]


def sensitivity_table(results: Results, board: Board) -> pd.DataFrame:
    """Return a line for each choice, the board's own first: the row that is first, and how far rows move.

    `tau` is Kendall's tau-b with the board's own order, `moved` the most places that any row moves. `note` is
    the reason why a choice could not change the order, empty for the others. The other columns are the ranks of
    the rows. A choice is left out if some row has no value.
    """
    labels = list(board.rows)
    board_losses: Floats | None = None
    lines: list[dict[str, object]] = []
    tables: dict[str, CountTables] = {}
    for label, row in board.rows.items():
        tables[label] = CountTables(results.cases_of(row.runs), results.slices_of(row.runs))
    value_cache: dict[tuple[str, EmptyPolicy], _Values] = {}
    for choice in _choices(results, board):
        rule = (choice.metric, choice.empty)
        if rule not in value_cache:
            value_cache[rule] = _values(board, tables, choice.metric, choice.empty)
        losses = _losses(labels, choice, value_cache[rule])
        if np.isnan(losses).any():
            continue
        if board_losses is None:
            board_losses = losses
        line = _line(choice, labels, losses, board_losses)
        line["note"] = _describe_constraint(losses, board_losses)
        lines.append(line)
    if lines:
        lines[0]["moved"] = 0  # rows with equal means share a rank, but none has moved
        lines[0]["note"] = _OWN_CHOICE
    return pd.DataFrame(lines, columns=["choice", "first", "tau", "moved", "note", *labels])


def _describe_constraint(losses: Floats, board_losses: Floats) -> str:
    """Return why a choice could not change the order of the board; '' if it could."""
    if np.ptp(losses.round(EQUAL_DIGITS)) == 0:
        return "all rows are equal"
    if np.array_equal(losses.round(EQUAL_DIGITS), board_losses.round(EQUAL_DIGITS)):
        return "changes no score"
    return ""


def _losses(labels: list[str], choice: _Choice, values: _Values) -> Floats:
    """Return the value of each row by the choice, with the sign by which less is better; nan without a value."""
    losses = np.full(len(labels), np.nan)
    sign = 1 if is_lower_better(choice.metric) else -1
    for row, label in enumerate(labels):
        cell = _Cell(label, choice.aggregate, choice.statistic)
        losses[row] = sign * values.get(cell, np.nan)
    return losses


def _line(choice: _Choice, labels: list[str], losses: Floats, board_losses: Floats) -> dict[str, object]:
    # round, because a tie that only rounding errors would break is a tie
    ranks = scipy.stats.rankdata(losses.round(EQUAL_DIGITS), method="min").astype(int)
    places = np.arange(1, len(labels) + 1)
    tau = np.nan
    if len(labels) > 1:
        tau = float(tau_b(losses[None], board_losses)[0])
    first = [label for label, rank in zip(labels, ranks, strict=True) if rank == 1]
    line: dict[str, object] = {
        "choice": choice.description,
        "first": ", ".join(first),
        "tau": tau,
        "moved": int(np.abs(ranks - places).max()),
    }
    line.update(zip(labels, ranks.tolist(), strict=True))
    return line


def _choices(results: Results, board: Board) -> Iterator[_Choice]:
    metric, empty = board.metric, board.empty
    yield _Choice(f"{metric}, mean over cases, empty masks: {empty}", metric, empty)
    yield _Choice(f"{metric}, median over cases", metric, empty, statistic="median")
    yield _Choice(f"{metric}, mean of the worst {_WORST:.0%} of the patients", metric, empty, statistic="worst")
    yield _Choice(f"{metric}, mean over folds", metric, empty, statistic="fold_mean")
    if is_overlap(metric):
        for aggregate, description in _AGGREGATES.items():
            yield _Choice(f"{metric}, {description}", metric, empty, aggregate)
        for policy in get_args(EmptyPolicy):
            if policy != empty:
                yield _Choice(f"{metric}, mean over cases, empty masks: {policy}", metric, policy)
    for other in _other_columns(results, board):
        yield _Choice(f"{other}, mean over cases", other, empty)


def _other_columns(results: Results, board: Board) -> Iterator[str]:
    """Yield the columns of all other metrics that every row has in the same units."""
    rows = list(board.rows.values())
    metrics: dict[str, None] = {}
    for row in rows:
        metrics.update(dict.fromkeys(results.metrics(row.group.variant)))
    for metric in metrics:
        columns_of_rows = set()
        for row in rows:
            cases = results.cases_of(row.runs)
            columns_of_rows.add(tuple(columns_of(metric, cases)))
        if len(columns_of_rows) == 1:
            for column in columns_of_rows.pop():
                if column != board.metric:
                    yield column


def _values(board: Board, tables: Mapping[str, CountTables], metric: str, empty: EmptyPolicy) -> _Values:
    """Return every value of every row by a metric and a rule for empty masks."""
    name = without_unit(metric)
    values: dict[_Cell, float] = {}
    for label, of_row in tables.items():
        for line in summaries_of(of_row, metrics=[name], empty=empty):
            if line.metric == metric and line.region == MEAN_REGION:
                values[_Cell(label, line.aggregate, "mean")] = line.mean
                values[_Cell(label, line.aggregate, "median")] = line.median
                values[_Cell(label, line.aggregate, "fold_mean")] = line.fold_mean
        values[_Cell(label, "case", "worst")] = _mean_of_worst(board, label)
    return values


def _mean_of_worst(board: Board, label: str) -> float:
    """Return the mean over the patients with the row's own worst scores, at least one."""
    row = board.panel.models.index(label)
    values = np.sort(board.panel.patient_means[row])
    count = max(1, round(_WORST * len(values)))
    worst = values[-count:] if board.panel.is_lower_better else values[:count]
    return float(worst.mean())
