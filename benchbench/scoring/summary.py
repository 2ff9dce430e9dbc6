"""Tables of scored files: those of a benchmark without folds, and with an interval of each mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pandas as pd

from benchbench.records.record import Value
from benchbench.scoring.rules import Scoring
from benchbench.statistics import Interval, Panel, mean_interval
from benchbench.tables.summaries import MEAN_REGION, SummaryLine, case_values, columns_of, summaries

_LESION_COLUMNS = ("brats23_dice", "brats23_hd95_mm")
_OF_FOLDS = ("fold_mean", "fold_sd")


def add_scores(cases: pd.DataFrame, scoring: Scoring) -> pd.DataFrame:
    """Return the cases with every score next to its counts, under the rule for empty masks."""
    scored = cases.copy()
    for metric in scoring.metrics:
        for column in columns_of(metric, cases):
            scored[column] = case_values(column, cases, scoring.empty)
    return scored


def summarise(cases: pd.DataFrame, scoring: Scoring) -> pd.DataFrame:
    """Return one row per metric, aggregate and region."""
    scored = add_scores(cases, scoring)
    one_run = cases.assign(fold=0, seed=0)
    rows: list[dict[str, Value]] = []
    for line in summaries(one_run, None, metrics=scoring.metrics, empty=scoring.empty):
        row: dict[str, Value] = asdict(line)
        for name in _OF_FOLDS:
            del row[name]
        if line.aggregate == "case":
            row |= _interval(scored, line)
        rows.append(row)
    if scoring.lesions is not None:
        rows += _lesion_rows(cases)
    return pd.DataFrame(rows)


def _interval(scored: pd.DataFrame, line: SummaryLine) -> dict[str, Value]:
    """Return the interval of the line's mean, with a note on how far it can be trusted."""
    if line.region != MEAN_REGION:
        scored = scored[scored["region"] == line.region]
    table = scored.pivot_table(index="case", columns="region", values=line.metric, dropna=False, sort=True)
    values = table.dropna().mean(axis=1)
    if values.empty:
        return {}
    panel = Panel(
        models=("",),
        patients=tuple(values.index),
        folds=np.zeros(len(values), dtype=np.int64),
        sums=values.to_numpy(dtype=np.float64)[None],
        counts=np.ones((1, len(values))),
    )
    interval = mean_interval(panel, method="bca")
    # files have no patients: every case is one
    if isinstance(interval, Interval):
        note = interval.warning.replace("patient", "case")
        return {"low": interval.low, "high": interval.high, "note": note}
    return {"note": interval.reason.replace("patient", "case")}


def _lesion_rows(cases: pd.DataFrame) -> Iterator[dict[str, Value]]:
    for column in _LESION_COLUMNS:
        for region, part in cases.groupby("region", sort=False):
            yield {
                "metric": column,
                "aggregate": "case",
                "region": str(region),
                "n": len(part),
                "mean": float(part[column].mean()),
                "median": float(part[column].median()),
            }
