"""Means, medians and standard deviations of scores over cases, slices, regions and folds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchbench.images.arrays import Floats
from benchbench.metrics.scores import Counts, distance, overlap
from benchbench.plan.run import GROUP, KEYS
from benchbench.spec.metric_names import UNITS, is_overlap
from benchbench.spec.protocol import EmptyPolicy
from benchbench.tables.marks import with_marks
from benchbench.tables.results import (
    Results,
    cached_table,
    groups_of,
    lines_of_done,
    lines_of_group,
    runs_of_group,
    with_integers,
)

_COUNTS = list(Counts._fields)


@cached_table
def summary_table(results: Results) -> pd.DataFrame:
    """Return one row per dataset, model, variant, region, metric and aggregate.

    mean and median are over all cases (or slices) of all folds and seeds; fold_mean and fold_sd are over the
    values of the runs, sd with n - 1. Runs that diverged or failed are counted, not averaged.
    """
    cases = lines_of_done(results, results.cases)
    slices = lines_of_done(results, results.slices)
    rows: list[dict[str, Any]] = []
    for group in groups_of(results):
        runs, done = runs_of_group(results, group)
        counted = {"runs_done": len(done), "runs_planned": len(runs), "data": results.data}
        group_cases, group_slices = lines_of_group(cases, group), lines_of_group(slices, group)
        lines = summaries(group_cases, group_slices, **results.rules(group.variant))
        rows += [{**group._asdict(), **line, **counted} for line in lines]
    table = pd.DataFrame(rows)
    if not rows:
        table = pd.DataFrame(columns=[*GROUP, "data"])
    return with_marks(results, with_integers(table))


def unmeasured(results: Results) -> dict[str, int]:
    """Return each distance that a variant asks for and recorded runs lack, with the number of these runs."""
    missing: dict[str, int] = {}
    for (*_, variant, _, _), cases in results.cases.groupby(KEYS, sort=True):
        for metric in results.metrics(variant):
            if not columns_of(metric, cases):
                missing[metric] = missing.get(metric, 0) + 1
    return missing


def summaries(
    cases: pd.DataFrame, slices: pd.DataFrame | None, *, metrics: Sequence[str], empty: EmptyPolicy
) -> Iterator[dict[str, Any]]:
    """Yield for every metric and aggregate the mean over regions, then a line for each region."""
    if cases.empty:
        return
    for metric in metrics:
        for name in columns_of(metric, cases):
            for aggregate, table in _tables_of(name, cases, slices).items():
                for line in _region_lines(name, aggregate, table, empty):
                    by_run = line.pop("by_run")
                    yield {"metric": name, "aggregate": aggregate, "empty": empty, **line, **_over_runs(by_run)}


def columns_of(metric: str, cases: pd.DataFrame) -> list[str]:
    """Return the columns of a metric in a table of cases: a distance has one for each unit it was measured in.

    The list is empty where a case has no distance: a mean over the others would be over other cases than the means
    of the other metrics.
    """
    if is_overlap(metric):
        return [metric]
    with_units = [f"{metric}_{unit}" for unit in UNITS]
    columns = [name for name in with_units if name in cases and cases[name].notna().any()]
    if not columns or not cases[columns].notna().any(axis=1).all():
        return []
    return columns


def case_values(metric: str, part: pd.DataFrame, policy: EmptyPolicy, *, is_pooled: bool) -> Floats:
    """Return the score of each row, or for pooled overlaps the one score of the sum of all rows."""
    counts = part[_COUNTS].to_numpy().T
    if not is_overlap(metric):
        return distance(metric, part[metric], Counts(*counts), empty=policy)
    if is_pooled:
        counts = counts.sum(axis=1, keepdims=True)
    return overlap(metric, Counts(*counts), empty=policy)


def _tables_of(name: str, cases: pd.DataFrame, slices: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    """Return aggregate -> the table that it is computed from."""
    if not is_overlap(name):
        # a distance belongs to a whole case, and is unknown in cases of another unit
        return {"case": cases[cases[name].notna()]}
    tables = {"case": cases, "slice": slices, "pooled": cases}
    return {aggregate: table for aggregate, table in tables.items() if table is not None}


def _region_lines(metric: str, aggregate: str, table: pd.DataFrame, policy: EmptyPolicy) -> list[dict[str, Any]]:
    """Return the line of the mean over regions, then those of the regions."""
    regions = []
    for region, part in table.groupby("region", sort=False):
        numbers = _summary(metric, part, policy, is_pooled=aggregate == "pooled")
        regions.append({"region": region, **numbers})
    return [_over_regions(regions), *regions]


def _summary(metric: str, part: pd.DataFrame, policy: EmptyPolicy, *, is_pooled: bool) -> dict[str, Any]:
    """Return the numbers of one region; `by_run` has the value of each run."""
    has_reference = part["tp"] + part["fn"] > 0
    has_prediction = part["tp"] + part["fp"] > 0
    place = ["case", "slice"] if "slice" in part else ["case"]
    is_first = ~part[place].duplicated()  # the same case comes again under every seed
    values = case_values(metric, part, policy, is_pooled=is_pooled)
    by_run = []
    for _, run in part.groupby(["fold", "seed"]):
        by_run.append(_mean(case_values(metric, run, policy, is_pooled=is_pooled)))
    median = np.nan
    if not is_pooled:
        median = _median(values)
    return {
        "n": int(is_first.sum()),
        "n_ref_empty": int((is_first & ~has_reference).sum()),
        "n_penalised": int((has_reference != has_prediction).sum()),
        "n_nan": int(np.isnan(values).sum()),
        "mean": _mean(values),
        "median": median,
        "dice_pos": _mean(case_values("dice", part[has_reference], policy, is_pooled=False)),
        "by_run": by_run,
    }


def _over_regions(regions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the unweighted mean over regions, nan if a region has no value; counts of cases add up."""
    line: dict[str, Any] = {"region": "mean", "n": regions[0]["n"]}
    for name in ("n_ref_empty", "n_penalised", "n_nan"):
        line[name] = sum(region[name] for region in regions)
    for name in ("mean", "median", "dice_pos"):
        line[name] = float(np.mean([region[name] for region in regions]))
    line["by_run"] = np.mean([region["by_run"] for region in regions], axis=0)
    return line


def _over_runs(values: Sequence[float]) -> dict[str, float]:
    """Return mean and standard deviation (n - 1) over the runs that have a value."""
    known = np.array([value for value in values if not np.isnan(value)])
    sd = np.nan
    if len(known) > 1:
        sd = float(known.std(ddof=1))
    return {"fold_mean": _mean(known), "fold_sd": sd}


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def _median(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else np.nan
