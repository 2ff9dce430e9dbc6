"""Scores against each reader, and the agreement of the readers with one another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from benchbench.spec.metric_names import is_overlap
from benchbench.tables.results import Results, RunLines
from benchbench.tables.rows import rows_of
from benchbench.tables.summaries import summaries

_PREDICTION = "prediction"


def reader_table(results: Results) -> pd.DataFrame:
    """Return the mean over cases of each overlap, by rater, reader and region; empty where cases have one label.

    A rater is a row of the benchmark, or a reader who is compared with another. Between readers precision and
    sensitivity depend on who comes first; Dice and IoU do not.
    """
    lines: list[dict[str, Any]] = []
    for dataset in results.manifest.datasets:
        of_dataset = results.readers[results.readers["dataset"] == dataset]
        if of_dataset.empty:
            continue
        is_prediction = of_dataset["rater"] == _PREDICTION
        for row in rows_of(results, dataset):
            of_row = RunLines(of_dataset[is_prediction]).select(row.runs)
            lines += _lines(results, dataset, row.label, row.group.variant, of_row)
        # every run has the same agreement of the readers
        between = of_dataset[~is_prediction].drop_duplicates(["case", "region", "rater", "reader"])
        variant = next(iter(results.manifest.scores))
        for rater, part in between.assign(seed=0).groupby("rater", sort=False):
            lines += _lines(results, dataset, str(rater), variant, part)
    return pd.DataFrame(lines)


def _lines(
    results: Results, dataset: str, rater: str, variant: str, table: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    """Yield a line for each reader, overlap and region of the counts of one rater."""
    metrics = list(filter(is_overlap, results.metrics(variant)))
    for reader, part in table.groupby("reader", sort=False):
        for line in summaries(part, None, metrics=metrics, empty=results.empty(variant)):
            if line.aggregate == "case":
                place = {"dataset": dataset, "rater": rater, "reader": str(reader), "region": line.region}
                yield {**place, "metric": line.metric, "n": line.n, "mean": line.mean}
