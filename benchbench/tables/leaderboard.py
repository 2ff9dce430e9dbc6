"""The leaderboard: one row per dataset, model and variant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchbench.plan.run import GROUP, Group
from benchbench.spec.metric_names import UNITS, is_lower_better
from benchbench.tables.marks import marked
from benchbench.tables.results import Line, Results, groups_of, made_once, mixed_data, runs_of_group, whole_numbers
from benchbench.tables.summaries import summary_table


@made_once
def leaderboard(results: Results) -> pd.DataFrame:
    """One row a dataset, model and variant, best first.

    Ordered by the mean of the first metric over all cases, distances from the least. A rank says nothing of
    significance; it is given to rows with all their runs, among those of the same metric, policy for empty masks
    and data.
    """
    summary = summary_table(results).to_dict("records")
    board = pd.DataFrame([_standing(results, group, summary) for group in groups_of(results)])
    last = list(board.columns[list(board.columns).index("fold_mean") :])
    board = board[
        [*(name for name in board if name not in last), *last]
    ]  # whatever metric a row is the first to have
    board = board.sort_values(["dataset", "order", "model", "variant"], ascending=[True, False, True, True])
    ranked = board["order"].where(board["has_rank"]).groupby([board["dataset"], board["rule"]])
    board.insert(0, "rank", ranked.rank(method="min", ascending=False))
    return marked(results, whole_numbers(board.drop(columns=["order", "rule", "has_rank"])))


def _standing(results: Results, group: Group, summary: Sequence[Line]) -> dict[str, Any]:
    """A row of the leaderboard, and what decides its rank."""
    variant = group.variant
    runs, done = runs_of_group(results, group)
    lines = [line for line in summary if tuple(line[name] for name in GROUP) == group]
    name, first = _first(results, variant, _of_means(lines))
    parameters = {results.records[key].parameters for key in done}
    gmacs = {results.records[key].cost.get("gmacs") for key in done}
    return {
        **group._asdict(),
        "runs": f"{len(done)} of {len(runs)}",
        **means_of(results, variant, lines),
        "parameters": parameters.pop() if len(parameters) == 1 else None,
        "gmacs": gmacs.pop() if len(gmacs) == 1 else None,
        "order": -first.get("mean", np.nan) if is_lower_better(name) else first.get("mean", np.nan),
        "rule": f"{name} {results.empty(variant)} {results.selects_on_test_set(variant)}",
        "has_rank": len(done) == len(runs) and (group.dataset, variant) not in mixed_data(results),
    }


def means_of(results: Results, variant: str, lines: Iterable[Line]) -> dict[str, Any]:
    """What a leaderboard shows of the lines of `summaries`: every metric, and more of the first."""
    means = _of_means(lines)
    _, first = _first(results, variant, means)
    known = [each for metric in results.metrics(variant) for each in names_with_units(metric, means) or [metric]]
    return {
        **{each: means[each]["mean"] if each in means else np.nan for each in known},
        **{part: first.get(part, np.nan) for part in ("fold_mean", "fold_sd", "n", "dice_pos", "n_ref_empty")},
    }


def _of_means(lines: Iterable[Line]) -> dict[str, Line]:
    """The lines of case means over all regions, by metric."""
    return {line["metric"]: line for line in lines if (line["region"], line["aggregate"]) == ("mean", "case")}


def names_with_units(metric: str, lines: Iterable[str]) -> list[str]:
    """What a metric is called among the names of a table: its own, or with a unit."""
    return [name for name in (metric, *(f"{metric}_{unit}" for unit in UNITS)) if name in lines]


def _first(results: Results, variant: str, lines: Mapping[str, Line]) -> tuple[str, Line]:
    """The metric that a leaderboard is ordered by, and its numbers; none where it is known in two units."""
    metric = results.metrics(variant)[0]
    names = names_with_units(metric, lines)
    return (names[0], lines[names[0]]) if len(names) == 1 else (metric, {})
