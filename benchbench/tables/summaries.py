"""Means, medians and standard deviations of scores over cases, slices, regions and folds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchbench.metrics.scores import Counts, distance, overlap
from benchbench.plan.run import GROUP, KEYS
from benchbench.spec.metric_names import UNITS, is_overlap
from benchbench.spec.protocol import EmptyPolicy
from benchbench.tables.marks import marked
from benchbench.tables.results import (
    Results,
    groups_of,
    lines_of_done,
    lines_of_group,
    made_once,
    runs_of_group,
    whole_numbers,
)

_COUNTS = list(Counts._fields)


@made_once
def summary_table(results: Results) -> pd.DataFrame:
    """One row a dataset, model, variant, region, metric and aggregate.

    mean and median are over all cases (or slices) of all folds and seeds, fold_mean and fold_sd over the values
    of the runs; sd has n - 1 below. Runs that diverged or failed are counted, not averaged.
    """
    cases, slices = (lines_of_done(results, table) for table in (results.cases, results.slices))
    rows: list[dict[str, Any]] = []
    for group in groups_of(results):
        runs, done = runs_of_group(results, group)
        counted = {"runs_done": len(done), "runs_planned": len(runs), "data": results.data}
        lines = summaries(
            lines_of_group(cases, group), lines_of_group(slices, group), **results.rules(group.variant)
        )
        rows += [{**dict(zip(GROUP, group, strict=True)), **line, **counted} for line in lines]
    return marked(results, whole_numbers(pd.DataFrame(rows, columns=None if rows else [*GROUP, "data"])))


def unmeasured(results: Results) -> dict[str, int]:
    """Distances that a variant asks for and how many of its recorded runs do not have them."""
    missing: dict[str, int] = {}
    for (*_, variant, _, _), cases in results.cases.groupby(KEYS, sort=True):
        for metric in results.metrics(variant):
            if not columns_of(metric, cases):
                missing[metric] = missing.get(metric, 0) + 1
    return missing


def summaries(
    cases: pd.DataFrame, slices: pd.DataFrame | None, *, metrics: Sequence[str], empty: EmptyPolicy
) -> Iterator[dict[str, Any]]:
    """For every metric and aggregate: the mean over regions, then each region."""
    if cases.empty:
        return
    for name in (name for metric in metrics for name in columns_of(metric, cases)):
        # a distance is of a whole case
        tables = {"case": cases, "slice": slices, "pooled": cases} if is_overlap(name) else {"case": cases}
        for aggregate, table in tables.items():
            if table is None:
                continue
            known = table if is_overlap(name) else table[table[name].notna()]
            regions = [
                {"region": region, **_summary(name, part, empty, is_pooled=aggregate == "pooled")}
                for region, part in known.groupby("region", sort=False)
            ]
            for line in (_over_regions(regions), *regions):
                of_runs = line.pop("of_runs")
                yield {"metric": name, "aggregate": aggregate, "empty": empty, **line, **_over_runs(of_runs)}


def columns_of(metric: str, cases: pd.DataFrame) -> list[str]:
    """What a metric is called in tables of these cases: a distance has a name for each unit it was measured in.

    None where it is not known of every case: a mean of the others would be of other cases than its neighbours'.
    """
    if is_overlap(metric):
        return [metric]
    found = [name for unit in UNITS if (name := f"{metric}_{unit}") in cases and cases[name].notna().any()]
    return found if found and cases[found].notna().any(axis=1).all() else []


def _summary(metric: str, part: pd.DataFrame, policy: EmptyPolicy, *, is_pooled: bool) -> dict[str, Any]:
    """The numbers of one region; `of_runs` has the value of each run."""
    is_positive, is_predicted = part["tp"] + part["fn"] > 0, part["tp"] + part["fp"] > 0
    is_new = ~part[["case", "slice"] if "slice" in part else ["case"]].duplicated()  # again under every seed
    values = case_values(metric, part, policy, is_pooled=is_pooled)
    runs = [run for _, run in part.groupby(["fold", "seed"])]
    return {
        "n": int(is_new.sum()),
        "n_ref_empty": int((is_new & ~is_positive).sum()),
        "n_penalised": int((is_positive != is_predicted).sum()),
        "n_nan": int(np.isnan(values).sum()),
        "mean": _mean(values),
        "median": np.nan if is_pooled else _median(values),
        "dice_pos": _mean(case_values("dice", part[is_positive], policy, is_pooled=False)),
        "of_runs": [_mean(case_values(metric, run, policy, is_pooled=is_pooled)) for run in runs],
    }


def _over_regions(regions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The unweighted mean over regions, nan if a region has no value; empty and undefined masks add up."""
    averaged = {name: float(np.mean([line[name] for line in regions])) for name in ("mean", "median", "dice_pos")}
    added = {name: sum(line[name] for line in regions) for name in ("n_ref_empty", "n_penalised", "n_nan")}
    of_runs = np.mean([line["of_runs"] for line in regions], axis=0)
    return {"region": "mean", "n": regions[0]["n"], **added, **averaged, "of_runs": of_runs}


def _over_runs(values: Sequence[float]) -> dict[str, float]:
    known = np.array([value for value in values if not np.isnan(value)])
    sd = float(known.std(ddof=1)) if len(known) > 1 else np.nan
    return {"fold_mean": _mean(known), "fold_sd": sd}


def case_values(metric: str, part: pd.DataFrame, policy: EmptyPolicy, *, is_pooled: bool) -> np.ndarray:
    """The score of each row, or the one score of all rows added up."""
    counts = part[_COUNTS].to_numpy().T
    if not is_overlap(metric):
        return distance(metric, part[metric], Counts(*counts), empty=policy)
    return overlap(metric, Counts(*(counts.sum(axis=1, keepdims=True) if is_pooled else counts)), empty=policy)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def _median(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else np.nan
