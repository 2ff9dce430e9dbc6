"""The leaderboard: one row per dataset, model and variant."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchbench.plan.run import Group
from benchbench.records.record import Value
from benchbench.spec.metric_names import UNITS, is_lower_better
from benchbench.statistics import EQUAL_DIGITS
from benchbench.tables.marks import contamination_of, with_marks
from benchbench.tables.results import (
    Results,
    cached_table,
    groups_of,
    mixed_data,
    runs_of_group,
    with_integers,
)
from benchbench.tables.summaries import MEAN_REGION, SummaryLine, summary_lines

_FIRST_METRIC = ("fold_mean", "fold_sd", "n", "dice_pos", "n_ref_empty")
"""Columns with further numbers of the first metric."""
_LAST = (*_FIRST_METRIC, "parameters", "gmacs")


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """A row of the leaderboard and the values that decide its rank."""

    columns: dict[str, Value]
    score: float
    """Mean of the first metric, rounded so that equal means tie, with the sign by which more is better."""
    basis: str
    """Metric, rule for empty masks and way of selection; only rows of one basis are ranked together."""
    has_rank: bool


@cached_table
def leaderboard(results: Results) -> pd.DataFrame:
    """Return one row per dataset, model and variant, best first.

    Rows are ordered by the mean of the first metric over all cases. Only rows with all their runs, whose weights
    saw none of the patients, have a rank, among those with the same metric, rule for empty masks and data. A rank
    says nothing about significance.
    """
    standings = [_standing(results, group) for group in groups_of(results)]
    board = pd.DataFrame([standing.columns for standing in standings])
    # a later row may have a metric that the first row lacks
    metrics_first = [name for name in board if name not in _LAST]
    board = board[[*metrics_first, *_LAST]]
    score = pd.Series([standing.score for standing in standings])
    basis = pd.Series([standing.basis for standing in standings])
    ranked = score.where(np.array([standing.has_rank for standing in standings]))
    ranks = ranked.groupby([board["dataset"], basis]).rank(method="min", ascending=False)
    board.insert(0, "rank", ranks)
    # groups are in the order of their names, which equal scores keep
    place = pd.factorize(board["dataset"])[0]
    order = np.lexsort((-score.astype(float).fillna(-np.inf), place))
    return with_marks(results, with_integers(board.iloc[order]))


def mean_columns(results: Results, variant: str, lines: Sequence[SummaryLine]) -> dict[str, Value]:
    """Return the leaderboard's columns for lines of `summaries`: the mean of each metric, more of the first."""
    means = _case_means(lines)
    columns: dict[str, Value] = {}
    for metric in results.metrics(variant):
        for name in names_with_units(metric, means) or [metric]:
            columns[name] = np.nan
            if name in means:
                columns[name] = means[name].mean
    first = _first_mean(results, variant, means)
    if first is None:
        return {**columns, **dict.fromkeys(_FIRST_METRIC, np.nan)}
    for name in _FIRST_METRIC:
        columns[name] = getattr(first, name)
    return columns


def names_with_units(metric: str, names: Collection[str]) -> list[str]:
    """Return those of the names that are this metric, without or with a unit."""
    candidates = [metric, *(f"{metric}_{unit}" for unit in UNITS)]
    return [name for name in candidates if name in names]


def _standing(results: Results, group: Group) -> _Standing:
    variant = group.variant
    lines = summary_lines(results)[group]
    planned, done = runs_of_group(results, group)
    records = [results.records[key] for key in done]
    columns: dict[str, Value] = {
        **group._asdict(),
        "runs": f"{len(done)} of {len(planned)}",
        **mean_columns(results, variant, lines),
        "parameters": _common_value([record.parameters for record in records]),
        "gmacs": _common_value([record.cost.get("gmacs") for record in records]),
    }
    metric, score = results.metrics(variant)[0], math.nan
    first = _first_mean(results, variant, _case_means(lines))
    if first is not None:
        metric, score = first.metric, first.mean
    if is_lower_better(metric):
        score = -score
    score = round(score, EQUAL_DIGITS)
    is_mixed = (group.dataset, variant) in mixed_data(results)
    return _Standing(
        columns=columns,
        score=score,
        basis=f"{metric} {results.empty(variant)} {results.selects_on_test_set(variant)}",
        has_rank=len(done) == len(planned) and not is_mixed and not contamination_of(results, group),
    )


def _case_means(lines: Sequence[SummaryLine]) -> dict[str, SummaryLine]:
    """Return the mean over cases and regions of each metric, by the metric's name."""
    means = {}
    for line in lines:
        if line.region == MEAN_REGION and line.aggregate == "case":
            means[line.metric] = line
    return means


def _first_mean(results: Results, variant: str, means: dict[str, SummaryLine]) -> SummaryLine | None:
    """Return the line of the first metric; None where the metric is unknown or known in two units."""
    names = names_with_units(results.metrics(variant)[0], means)
    if len(names) == 1:
        return means[names[0]]
    return None


def _common_value(values: Sequence[Value]) -> Value:
    """Return the value that all runs have; None if they differ."""
    different = set(values)
    if len(different) == 1:
        return different.pop()
    return None
