"""Lines that every board is read against: what nothing at all scores, and what the resized truth does.

They are computed from the cases of the runs that are done, under the metrics, folds and rule for empty masks of
the models beside them. They are no models: they have no rank and enter no comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from benchbench.plan.run import GROUP, KEYS
from benchbench.spec.metric_names import is_overlap
from benchbench.tables.leaderboard import means_of
from benchbench.tables.marks import MARKS
from benchbench.tables.results import Results, made_once, of_runs, whole_numbers
from benchbench.tables.summaries import summaries

BACKGROUND = "all background"
"""A prediction without a voxel; no distance is measured of it."""
CEILING = "truth, resized"
"""The truth scaled to the network's input and back."""
_EVERY_VARIANT = "every variant"


@made_once
def references(results: Results) -> pd.DataFrame:
    """One row a dataset, reference and variant, with columns of a leaderboard; one for variants that agree.

    The resized truth has a row only where cases are resized: elsewhere it is the truth.
    """
    rows = [row for dataset in sorted({key.dataset for key in results.planned}) for row in _rows(results, dataset)]
    table = pd.DataFrame(rows, columns=None if rows else ["rank", *GROUP])
    # a distance that is known has its unit in its name
    asked = {metric for variant in results.manifest.scores for metric in results.metrics(variant)}
    return whole_numbers(table.drop(columns=[name for name in asked if name in table and not is_overlap(name)]))


def with_references(board: pd.DataFrame, results: Results) -> pd.DataFrame:
    """A leaderboard with the references of each dataset below its models."""
    lines = references(results).reindex(columns=board.columns)
    lines = lines.assign(**dict.fromkeys((name for name in MARKS if name in board), ""))
    together = pd.concat([board, lines.astype(board.dtypes.to_dict())], ignore_index=True)
    return together.sort_values("dataset", kind="stable", ignore_index=True)


def _rows(results: Results, dataset: str) -> Iterator[dict[str, Any]]:
    variants = list(dict.fromkeys(run.variant for run in results.manifest.runs if run.dataset == dataset))
    for name, table in ((BACKGROUND, _nothing_predicted(results.cases)), (CEILING, results.ceilings)):
        scored: dict[str, tuple[dict[str, Any], list[str]]] = {}
        for variant in variants:
            cases = _each_once(results, table, dataset, variant)
            if not cases.empty:
                scores = _scores(results, variant, cases)
                scored.setdefault(repr(scores), (scores, []))[1].append(variant)
        for scores, alike in scored.values():
            label = _EVERY_VARIANT if len(alike) == len(variants) > 1 else ", ".join(alike)
            yield {"rank": None, "dataset": dataset, "model": name, "variant": label, "runs": "", **scores}


def _nothing_predicted(cases: pd.DataFrame) -> pd.DataFrame:
    """The same cases with the counts that a prediction without a voxel has."""
    positive, negative = cases["tp"] + cases["fn"], cases["fp"] + cases["tn"]
    counts = {"tp": 0, "fp": 0, "fn": positive, "tn": negative}
    return cases[[*KEYS, "case", "patient", "region"]].assign(**counts)


def _each_once(results: Results, cases: pd.DataFrame, dataset: str, variant: str) -> pd.DataFrame:
    """The cases of one run a fold: truth is the same in all of them."""
    first: dict[int, Any] = {}
    present = set(cases[KEYS].itertuples(index=False, name=None))
    for key in results.planned:
        if (key.dataset, key.variant) == (dataset, variant) and results.is_done(key) and tuple(key) in present:
            first.setdefault(key.fold, key)
    return of_runs(cases, first.values())


def _scores(results: Results, variant: str, cases: pd.DataFrame) -> dict[str, Any]:
    return means_of(results, variant, summaries(cases, None, **results.rules(variant)))
