"""The tables of scored files: those of a benchmark, without folds, with an interval of each mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchbench.metrics.scores import Counts, distance, overlap
from benchbench.scoring.rules import Scoring
from benchbench.spec.metric_names import is_overlap
from benchbench.statistics import Interval, Panel, mean_interval
from benchbench.tables.summaries import columns_of, summaries


def with_scores(cases: pd.DataFrame, how: Scoring) -> pd.DataFrame:
    """Each score beside the counts it comes from, under the rule for empty masks."""
    counts = Counts(*cases[list(Counts._fields)].to_numpy().T)
    scored = cases.copy()
    for name in (name for metric in how.metrics for name in columns_of(metric, cases)):
        scored[name] = (
            overlap(name, counts, empty=how.empty)
            if is_overlap(name)
            else distance(name, cases[name], counts, empty=how.empty)
        )
    return scored


def summarise(cases: pd.DataFrame, how: Scoring) -> pd.DataFrame:
    """One row a metric, aggregate and region."""
    scored, table = with_scores(cases, how), cases.assign(fold=0, seed=0)
    lines = []
    for line in summaries(table, None, metrics=list(how.metrics), empty=how.empty):
        kept = {key: value for key, value in line.items() if not key.startswith("fold_")}
        lines.append({**kept, **(_interval(scored, line) if line["aggregate"] == "case" else {})})
    if how.lesions is not None:
        lines += _of_lesions(cases)
    return pd.DataFrame(lines)


def _interval(scored: pd.DataFrame, line: Mapping[str, Any]) -> dict[str, Any]:
    part = scored if line["region"] == "mean" else scored[scored["region"] == line["region"]]
    table = part.pivot_table(index="case", columns="region", values=line["metric"], dropna=False, sort=True)
    values = table.dropna().mean(axis=1)
    if not len(values):
        return {}
    panel = Panel(
        models=("",),
        patients=tuple(values.index),
        folds=np.zeros(len(values), dtype=np.int64),
        sums=values.to_numpy(dtype=np.float64)[None],
        counts=np.ones((1, len(values))),
    )
    found = mean_interval(panel, method="bca")
    if isinstance(found, Interval):
        return {"low": found.low, "high": found.high, "note": found.warning.replace("patients", "cases")}
    return {"note": found.reason.replace("patients", "cases")}


def _of_lesions(cases: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for name in ("brats23_dice", "brats23_hd95_mm"):
        for region, part in cases.groupby("region", sort=False):
            means = {"mean": float(part[name].mean()), "median": float(part[name].median())}
            yield {"metric": name, "aggregate": "case", "region": region, "n": len(part), **means}
