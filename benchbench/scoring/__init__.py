"""Scores predictions of any tool, file by file, by the same rules and into the same tables as a benchmark's.

No case is ever dropped: one that has no prediction is refused or counts as the worst there is; predictions without
a reference are counted; a grid that is not the reference's is an error with its case.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchbench.errors import DataError, DataNotFoundError, UsageError
from benchbench.scoring.case import score_case
from benchbench.scoring.pairing import pair
from benchbench.scoring.rules import Scoring, read_regions
from benchbench.scoring.summary import summarise, with_scores
from benchbench.spec.metric_names import parse_metrics

__all__ = ["Scores", "Scoring", "pair", "read_regions", "score_paths"]

_MANY_EMPTY = 0.05


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The tables, and what a reader must know beside them."""

    cases: pd.DataFrame
    """A row a case and region: counts, distances and every score."""
    summary: pd.DataFrame
    """A row a metric, aggregate and region."""
    missing: tuple[str, ...]
    """Cases without a prediction, scored as the worst."""
    extra: tuple[str, ...]
    """Predictions without a reference, not scored."""

    @property
    def notes(self) -> list[str]:
        """What a reader must know to believe the tables."""
        return list(_notes(self))


def score_paths(
    reference: Path, prediction: Path, how: Scoring, *, progress: Callable[[], None] = lambda: None
) -> Scores:
    """Scores a file against a file, or a folder against a folder, whose files are paired by name.

    Raises:
        DataError: with every fault of every case.
        UsageError: a metric that is not known.
    """
    try:
        parse_metrics(how.metrics)
    except ValueError as error:
        raise UsageError(f"--metrics: {error}") from error
    references, predictions = pair(reference, prediction)
    missing = sorted(references.keys() - predictions.keys())
    if missing and how.missing == "refuse":
        raise DataNotFoundError(
            *(f"{name}: no prediction in {prediction}" for name in missing),
            f"{len(missing)} of {len(references)} cases have no prediction; make them, or score them as the worst"
            " with --missing worst",
        )

    def score(name: str) -> Sequence[dict[str, Any]] | DataError:
        try:
            return score_case(name, references[name], predictions.get(name), how)
        except DataError as error:
            return error
        finally:
            progress()

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding and searching let go of the interpreter
        outcomes = list(pool.map(score, sorted(references)))
    if faults := [fault for each in outcomes if isinstance(each, DataError) for fault in each.problems]:
        raise DataError(*faults)
    cases = pd.DataFrame([row for each in outcomes if not isinstance(each, DataError) for row in each])
    return Scores(
        cases=with_scores(cases, how),
        summary=summarise(cases, how),
        missing=tuple(missing),
        extra=tuple(sorted(predictions.keys() - references.keys())),
    )


def _notes(scores: Scores) -> Iterator[str]:
    if scores.missing:
        named = ", ".join(scores.missing[:5])
        yield f"{len(scores.missing)} cases without a prediction count as wrong in every voxel: {named}"
    if scores.extra:
        named = ", ".join(scores.extra[:5])
        yield f"{len(scores.extra)} predictions have no reference and are not scored: {named}"
    for region, part in scores.cases.groupby("region", sort=False):
        if not (part["tp"] + part["fp"]).any():
            yield f"region '{region}': every prediction is empty"
        if (share := float((part["tp"] + part["fn"] == 0).mean())) > _MANY_EMPTY:
            yield f"region '{region}': no reference in {share:.0%} of the cases lifts the mean: see dice_pos"
