"""Reference rows of a leaderboard: an empty prediction, and the resampling upper bound.

They are computed from the cases of finished runs, with the metrics, folds and rule for empty masks of the models
in the same table. They are not models: they have no rank and are in no comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from benchbench.plan.run import GROUP, KEYS, RunKey
from benchbench.records.record import Value
from benchbench.spec.metric_names import is_overlap
from benchbench.tables.leaderboard import leaderboard, mean_columns
from benchbench.tables.marks import MARKS
from benchbench.tables.results import Results, cached_table, lines_of_runs, table_of_rows, with_integers
from benchbench.tables.summaries import summaries

BACKGROUND = "all background"
"""Label of a prediction without a voxel; distances to it are not measured."""
UPPER_BOUND = "truth, resized"
"""Label of the resampling upper bound: the reference resized to the network's input and back."""
EVERY_VARIANT = "every variant"
"""Variant of a reference row that holds for all of them."""


class _Scored(NamedTuple):
    """Scores of a reference row, and the variants that have exactly these scores."""

    scores: dict[str, Value]
    variants: list[str]


@cached_table
def references(results: Results) -> pd.DataFrame:
    """Return one row per dataset, reference and variant, with the columns of a leaderboard.

    Variants with equal scores share a row. The resampling upper bound has a row only where cases are resized;
    elsewhere it would be the reference itself.
    """
    rows: list[dict[str, Value]] = []
    for dataset in _datasets(results):
        rows += _rows(results, dataset, BACKGROUND, _empty_predictions(results.cases))
        rows += _rows(results, dataset, UPPER_BOUND, results.upper_bounds)
    table = table_of_rows(rows, ["rank", *GROUP])
    # a distance that was measured has its unit in its name
    metrics = {metric for variant in results.manifest.scores for metric in results.metrics(variant)}
    unmeasured = [name for name in metrics if name in table and not is_overlap(name)]
    return with_integers(table.drop(columns=unmeasured))


def with_references(board: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Return a leaderboard with the reference rows of each dataset, and its controls, below its models."""
    rows = pd.concat([_control_rows(results), references(results)]).reindex(columns=board.columns)
    rows = rows.assign(**{name: "" for name in MARKS if name in board})
    together = pd.concat([board, rows.astype(board.dtypes.to_dict())], ignore_index=True)
    places = {name: place for place, name in enumerate(_datasets(results))}
    order = together["dataset"].map(places).argsort(kind="stable")
    return together.iloc[order].reset_index(drop=True)


def _datasets(results: Results) -> list[str]:
    """Return the datasets of the planned runs, in the order of the leaderboard."""
    return list(dict.fromkeys(key.dataset for key in results.planned))


def control_names(results: Results) -> list[str]:
    """Return the names of the rows of controls."""
    return [control.name for control in results.manifest.controls]


def _control_rows(results: Results) -> pd.DataFrame:
    """Return the rows of the controls, without a rank."""
    if results.with_controls is None:
        return pd.DataFrame()
    board = leaderboard(results.with_controls)
    return board[board["model"].isin(control_names(results))].assign(rank=None)


def _rows(results: Results, dataset: str, label: str, table: pd.DataFrame) -> Iterator[dict[str, Value]]:
    """Yield the rows of one reference, whose counts are in the table."""
    runs = [run for run in results.manifest.runs if run.dataset == dataset]
    variants = list(dict.fromkeys(run.variant for run in runs))
    by_scores: dict[str, _Scored] = {}
    for variant in variants:
        cases = _cases_once(results, table, dataset, variant)
        if cases.empty:
            continue
        lines = list(summaries(cases, None, **results.rules(variant)))
        scores = mean_columns(results, variant, lines)
        # nan is equal to nan as a text only
        by_scores.setdefault(repr(scores), _Scored(scores, [])).variants.append(variant)
    for scores, equal_variants in by_scores.values():
        names = ", ".join(equal_variants)
        if len(equal_variants) == len(variants) > 1:
            names = EVERY_VARIANT
        yield {"rank": None, "dataset": dataset, "model": label, "variant": names, "runs": "", **scores}


def _empty_predictions(cases: pd.DataFrame) -> pd.DataFrame:
    """Return the same cases with the counts of an empty prediction."""
    positive = cases["tp"] + cases["fn"]
    negative = cases["fp"] + cases["tn"]
    identity = cases[[*KEYS, "case", "patient", "region"]]
    return identity.assign(tp=0, fp=0, fn=positive, tn=negative)


def _cases_once(results: Results, table: pd.DataFrame, dataset: str, variant: str) -> pd.DataFrame:
    """Return the cases of one run per fold: the reference is the same in all runs of a fold."""
    recorded = set(table[KEYS].itertuples(index=False, name=None))
    run_of_fold: dict[int, RunKey] = {}
    for key in results.planned:
        is_variant = key.dataset == dataset and key.variant == variant
        if is_variant and results.is_done(key) and tuple(key) in recorded:
            run_of_fold.setdefault(key.fold, key)
    return lines_of_runs(table, run_of_fold.values())
