"""Reference rows of a leaderboard: a prediction without a voxel, and the reference after resizing.

They are computed from the cases of the runs that are done, under the metrics, folds and rule for empty masks of
the models in the same table. They are no models: they have no rank and enter no comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from benchbench.plan.run import GROUP, KEYS, RunKey
from benchbench.spec.metric_names import is_overlap
from benchbench.tables.leaderboard import means_of
from benchbench.tables.marks import MARKS
from benchbench.tables.results import Results, cached_table, lines_of_runs, with_integers
from benchbench.tables.summaries import summaries

BACKGROUND = "all background"
"""Row of a prediction without a voxel; it has no distance."""
CEILING = "truth, resized"
"""Row of the resampling upper bound: the reference resized to the network's input and back."""
_EVERY_VARIANT = "every variant"


@cached_table
def references(results: Results) -> pd.DataFrame:
    """Return one row per dataset, reference and variant, with the columns of a leaderboard.

    Variants with equal scores share a row. The resized reference has a row only where cases are resized: elsewhere
    it is the reference itself.
    """
    rows: list[dict[str, Any]] = []
    for dataset in sorted({key.dataset for key in results.planned}):
        rows += _rows(results, dataset)
    table = pd.DataFrame(rows)
    if not rows:
        table = pd.DataFrame(columns=["rank", *GROUP])
    return with_integers(table.drop(columns=_distances_without_unit(results, table)))


def with_references(board: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Return a leaderboard with the references of each dataset below its models."""
    lines = references(results).reindex(columns=board.columns)
    no_marks = dict.fromkeys((name for name in MARKS if name in board), "")
    lines = lines.assign(**no_marks)
    joined = pd.concat([board, lines.astype(board.dtypes.to_dict())], ignore_index=True)
    return joined.sort_values("dataset", kind="stable", ignore_index=True)


def _distances_without_unit(results: Results, table: pd.DataFrame) -> list[str]:
    """Return the columns of distances that were not measured: a measured one has its unit in its name."""
    requested: set[str] = set()
    for variant in results.manifest.scores:
        requested.update(results.metrics(variant))
    return [name for name in requested if name in table and not is_overlap(name)]


def _rows(results: Results, dataset: str) -> Iterator[dict[str, Any]]:
    variants = list(dict.fromkeys(run.variant for run in results.manifest.runs if run.dataset == dataset))
    tables = {BACKGROUND: _nothing_predicted(results.cases), CEILING: results.ceilings}
    for name, table in tables.items():
        for scores, sharing in _scores_of_variants(results, table, dataset, variants):
            label = ", ".join(sharing)
            if len(sharing) == len(variants) > 1:
                label = _EVERY_VARIANT
            yield {"rank": None, "dataset": dataset, "model": name, "variant": label, "runs": "", **scores}


def _scores_of_variants(
    results: Results, table: pd.DataFrame, dataset: str, variants: list[str]
) -> list[tuple[dict[str, Any], list[str]]]:
    """Return the distinct scores of a reference, with the variants that have them."""
    distinct: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for variant in variants:
        cases = _one_run_per_fold(results, table, dataset, variant)
        if not cases.empty:
            scores = means_of(results, variant, summaries(cases, None, **results.rules(variant)))
            _, sharing = distinct.setdefault(repr(scores), (scores, []))
            sharing.append(variant)
    return list(distinct.values())


def _nothing_predicted(cases: pd.DataFrame) -> pd.DataFrame:
    """Return the same cases with the counts of a prediction without a voxel."""
    positive = cases["tp"] + cases["fn"]
    negative = cases["fp"] + cases["tn"]
    return cases[[*KEYS, "case", "patient", "region"]].assign(tp=0, fp=0, fn=positive, tn=negative)


def _one_run_per_fold(results: Results, cases: pd.DataFrame, dataset: str, variant: str) -> pd.DataFrame:
    """Return the cases of the first run of each fold: all runs of a fold have the same reference."""
    first: dict[int, RunKey] = {}
    present = set(cases[KEYS].itertuples(index=False, name=None))
    for key in results.planned:
        is_of_variant = (key.dataset, key.variant) == (dataset, variant)
        if is_of_variant and results.is_done(key) and tuple(key) in present:
            first.setdefault(key.fold, key)
    return lines_of_runs(cases, first.values())
