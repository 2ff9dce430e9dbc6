"""The leaderboard: one row per dataset, model and variant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchbench.plan.run import GROUP, Group
from benchbench.spec.metric_names import UNITS, is_lower_better
from benchbench.tables.marks import with_marks
from benchbench.tables.results import (
    Line,
    Results,
    cached_table,
    groups_of,
    mixed_data,
    runs_of_group,
    with_integers,
)
from benchbench.tables.summaries import summary_table

_OF_FIRST_METRIC = ("fold_mean", "fold_sd", "n", "dice_pos", "n_ref_empty")
"""Columns of a leaderboard that only its first metric has."""
_DECIDING = ("order", "rule", "has_rank")
"""Columns that decide the rank and are dropped afterwards."""
_LAST = (*_OF_FIRST_METRIC, "parameters", "gmacs", *_DECIDING)


@cached_table
def leaderboard(results: Results) -> pd.DataFrame:
    """Return one row per dataset, model and variant, best first.

    Rows are ordered by the mean of the first metric over all cases; of distances the smallest is first. A rank
    says nothing about significance. Only rows with all their runs have one, among rows of the same metric, rule
    for empty masks and data.
    """
    summary = summary_table(results).to_dict("records")
    board = pd.DataFrame([_standing(results, group, summary) for group in groups_of(results)])
    # a later row can have a metric that the first row lacks
    metrics_first = [name for name in board if name not in _LAST]
    board = board[[*metrics_first, *_LAST]]
    board = board.sort_values(["dataset", "order", "model", "variant"], ascending=[True, False, True, True])
    comparable = board["order"].where(board["has_rank"]).groupby([board["dataset"], board["rule"]])
    board.insert(0, "rank", comparable.rank(method="min", ascending=False))
    return with_marks(results, with_integers(board.drop(columns=list(_DECIDING))))


def means_of(results: Results, variant: str, lines: Iterable[Line]) -> dict[str, Any]:
    """Return the numbers that a leaderboard shows of the lines of `summaries`, by column."""
    by_metric = _mean_lines(lines)
    numbers: dict[str, Any] = {}
    for metric in results.metrics(variant):
        for name in names_with_units(metric, by_metric) or [metric]:
            numbers[name] = by_metric[name]["mean"] if name in by_metric else np.nan
    _, first = _first_metric(results, variant, by_metric)
    for part in _OF_FIRST_METRIC:
        numbers[part] = first.get(part, np.nan)
    return numbers


def names_with_units(metric: str, names: Iterable[str]) -> list[str]:
    """Return the names that a metric has among these: its own, or its own with a unit."""
    known = set(names)
    candidates = [metric, *(f"{metric}_{unit}" for unit in UNITS)]
    return [name for name in candidates if name in known]


def _standing(results: Results, group: Group, summary: Sequence[Line]) -> dict[str, Any]:
    """Return a row of the leaderboard, with the columns that decide its rank."""
    variant = group.variant
    runs, done = runs_of_group(results, group)
    lines = [line for line in summary if tuple(line[name] for name in GROUP) == group]
    name, first = _first_metric(results, variant, _mean_lines(lines))
    order = first.get("mean", np.nan)
    if is_lower_better(name):
        order = -order
    return {
        **group._asdict(),
        "runs": f"{len(done)} of {len(runs)}",
        **means_of(results, variant, lines),
        "parameters": _common_value(results.records[key].parameters for key in done),
        "gmacs": _common_value(results.records[key].cost.get("gmacs") for key in done),
        "order": order,
        "rule": f"{name} {results.empty(variant)} {results.selects_on_test_set(variant)}",
        "has_rank": len(done) == len(runs) and (group.dataset, variant) not in mixed_data(results),
    }


def _common_value(values: Iterable[Any]) -> Any:
    """Return the value that all have; None where they differ or there is none."""
    distinct = set(values)
    if len(distinct) != 1:
        return None
    return distinct.pop()


def _mean_lines(lines: Iterable[Line]) -> dict[str, Line]:
    """Return metric -> the line of its case means over all regions."""
    return {line["metric"]: line for line in lines if (line["region"], line["aggregate"]) == ("mean", "case")}


def _first_metric(results: Results, variant: str, by_metric: Mapping[str, Line]) -> tuple[str, Line]:
    """Return the metric that orders a leaderboard and its line; an empty line where it is known in two units."""
    metric = results.metrics(variant)[0]
    names = names_with_units(metric, by_metric)
    if len(names) != 1:
        return metric, {}
    return names[0], by_metric[names[0]]
