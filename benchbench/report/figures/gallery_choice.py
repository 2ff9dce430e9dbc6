"""The choice of models, runs and cases that a gallery shows: by rule from the scores, never by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from benchbench.comparison.case_scores import case_scores
from benchbench.plan.run import KEYS, RunKey
from benchbench.report.figures.case_choice import ChosenCase, choose_cases
from benchbench.spec.metric_names import is_lower_better
from benchbench.tables.results import Results, mixed_data
from benchbench.tables.rows import Row, rows_of
from benchbench.tables.summaries import columns_of

MOST_MODELS = 5
PICTURES, PREDICTIONS, PLANES = "pictures.parquet", "predictions.parquet", "planes.parquet"
"""Files of a run: planes of its cases with the reference, the predicted masks, and further planes."""


@dataclass(frozen=True, kw_only=True)
class GalleryChoice:
    """The models, runs and cases that the gallery of a dataset shows."""

    metric: str
    """The name of the metric's column, with the unit of a distance."""
    scores: pd.DataFrame
    """(cases, labels) by the metric, the best model first."""
    runs: Mapping[str, Mapping[str, RunKey]]
    """Label -> case -> the run that tested the case."""
    cases: Sequence[ChosenCase]
    seeds: Sequence[int]
    """The seeds of all runs; only the first is shown."""

    @property
    def models(self) -> list[str]:
        """The labels of the models that have a column, best first."""
        return list(self.scores.columns[:MOST_MODELS])


def choose_gallery(results: Results, dataset: str) -> GalleryChoice | None:
    """Return models and cases by rule, among the cases that every model has a score and a picture of.

    Returns None if no model has pictures, or no case is scored by all models.
    """
    rows = _rows_with_pictures(results, dataset)
    if not rows:
        return None
    cases = {row.label: results.cases_of(_runs_of_first_seed(row)) for row in rows}
    all_cases = pd.concat(cases.values())
    metric = _choose_metric(results, rows[0], all_cases)
    columns: dict[str, pd.Series] = {}
    for row in rows:
        columns[row.label] = _case_scores(results, row, cases[row.label], metric)
    scores = pd.DataFrame(columns).dropna()
    if scores.empty:
        return None
    lower_is_better = is_lower_better(metric)
    losses = scores.mean()
    if not lower_is_better:
        losses = -losses
    order = losses.sort_values(kind="stable").index
    has_reference = all_cases["tp"] + all_cases["fn"] > 0
    with_reference = set(all_cases[has_reference]["case"])
    return GalleryChoice(
        metric=metric,
        scores=scores[order],
        runs={label: _run_of_case(table) for label, table in cases.items()},
        cases=choose_cases(scores, is_lower_better=lower_is_better, with_reference=with_reference),
        seeds=sorted({run.seed for row in rows for run in row.runs}),
    )


def _rows_with_pictures(results: Results, dataset: str) -> list[Row]:
    """Return the rows whose runs have pictures, without variants of mixed data."""
    mixed = mixed_data(results)
    rows = []
    for row in rows_of(results, dataset):
        files = [set(results.records[run].files) for run in _runs_of_first_seed(row)]
        has_pictures = all({PICTURES, PREDICTIONS} <= names for names in files)
        if has_pictures and (dataset, row.group.variant) not in mixed:
            rows.append(row)
    return rows


def _runs_of_first_seed(row: Row) -> list[RunKey]:
    first = min(run.seed for run in row.runs)
    return [run for run in row.runs if run.seed == first]


def _run_of_case(cases: pd.DataFrame) -> dict[str, RunKey]:
    runs: dict[str, RunKey] = {}
    for key, table in cases.groupby(KEYS, sort=False):
        runs.update(dict.fromkeys(table["case"], RunKey(*key)))
    return runs


def _choose_metric(results: Results, row: Row, cases: pd.DataFrame) -> str:
    """Return the row's first metric, or Dice if not every case has that metric in the same unit."""
    columns = columns_of(results.metrics(row.group.variant)[0], cases)
    if len(columns) == 1:
        return columns[0]
    return "dice"


def _case_scores(results: Results, row: Row, cases: pd.DataFrame, metric: str) -> pd.Series:
    """Return the score of each case, by the name of the case."""
    empty = results.empty(row.group.variant)
    scores = case_scores(cases, metric=metric, empty=empty, model=row.label)
    return scores.set_index("case")["value"]
