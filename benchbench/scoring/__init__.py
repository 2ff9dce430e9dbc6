"""Scoring of prediction files of any tool, with the rules and the tables of a benchmark.

No case is dropped without a message: a case without a prediction is an error or counts as the worst possible,
predictions without a reference are counted, and a grid that differs from the reference's is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from benchbench.cores import available_cores
from benchbench.errors import DataError, DataNotFoundError, UsageError
from benchbench.registry.extensions import declare_installed_metrics
from benchbench.scoring.case import RegionMeasures, Source, measure_case
from benchbench.scoring.pairing import missing_problem, pair_files, unread_entries
from benchbench.scoring.rules import Labels, Scoring, read_labels
from benchbench.scoring.summary import add_scores, summarise
from benchbench.spec.metric_names import parse_metrics
from benchbench.spec.protocol import EmptyPolicy
from benchbench.tables.absent_regions import describe_absence
from benchbench.threads import case_threads
from benchbench.words import count

__all__ = ["Labels", "Scores", "Scoring", "Source", "pair_files", "read_labels", "score_pairs", "score_paths"]

_MANY_EMPTY = 0.05  # share of cases with an empty reference that deserves a note


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The tables of scored files."""

    cases: pd.DataFrame
    """A row for each case and region: counts, distances and every score."""
    summary: pd.DataFrame
    """A row for each metric, aggregate and region."""
    missing: tuple[str, ...]
    """Cases without a prediction, which are scored as the worst possible."""
    extra: tuple[str, ...]
    """Predictions without a reference, which are not scored."""
    unread: tuple[str, ...] = ()
    """Files and folders in the two folders that are no label maps."""
    empty: EmptyPolicy = "score"
    """The rule for empty masks that the tables follow."""

    @property
    def notes(self) -> list[str]:
        """Sentences that a reader of the tables needs to know."""
        return [*_notes_on_files(self), *_notes_on_regions(self.cases, self.empty)]


def score_paths(
    reference: Path,
    prediction: Path,
    scoring: Scoring,
    *,
    threads: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Scores:
    """Score a file against a file, or a folder against a folder whose files are paired by name.

    `threads` cases are measured at the same time, by default one for each core; `progress` is called after each.

    Raises:
        DataError: with every problem of every case.
        UsageError: a metric is unknown.
    """
    references, predictions = pair_files(reference, prediction)
    scores = score_pairs(
        references, predictions, scoring, where=str(prediction), threads=threads, progress=progress
    )
    return replace(scores, unread=tuple(_unread(reference, prediction)))


def score_pairs(
    references: Mapping[str, Source],
    predictions: Mapping[str, Source],
    scoring: Scoring,
    *,
    where: str = "the predictions",
    threads: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Scores:
    """Score the prediction of each case against its reference; `where` names the predictions in messages.

    Raises:
        DataError: with every problem of every case.
        UsageError: a metric is unknown.
    """
    declare_installed_metrics()
    try:
        parse_metrics(scoring.metrics)
    except ValueError as error:
        raise UsageError(f"--metrics: {error}") from error
    missing = sorted(references.keys() - predictions.keys())
    extra = sorted(predictions.keys() - references.keys())
    if missing and scoring.missing == "refuse":
        problems = [missing_problem(name, where, extra) for name in missing]
        raise DataNotFoundError(
            *problems,
            f"{len(missing)} of {count(len(references), 'case')} without a prediction; make them, or score them as"
            " the worst with --missing worst",
        )
    pairs = (references, predictions)
    measures = _measure_cases(pairs, scoring, threads=threads or available_cores(), progress=progress)
    cases = pd.DataFrame([region.columns() for region in measures])
    return Scores(
        cases=add_scores(cases, scoring),
        summary=summarise(cases, scoring),
        missing=tuple(missing),
        extra=tuple(extra),
        empty=scoring.empty,
    )


def _measure_cases(
    pairs: tuple[Mapping[str, Source], Mapping[str, Source]],
    scoring: Scoring,
    *,
    threads: int,
    progress: Callable[[], None],
) -> list[RegionMeasures]:
    """Measure every case and return its regions, in the order of the cases' names.

    Raises:
        DataError: with every problem of every case.
    """
    references, predictions = pairs

    def measure(name: str) -> Sequence[RegionMeasures] | DataError:
        prediction = predictions.get(name)
        try:
            return measure_case(name, references[name], prediction, scoring)
        except DataError as error:
            return error
        finally:
            progress()

    measures: list[RegionMeasures] = []
    problems: list[str] = []
    with case_threads(threads) as pool:  # decoding and distances release the interpreter lock
        for outcome in pool.map(measure, sorted(references)):
            if isinstance(outcome, DataError):
                problems += outcome.problems
            else:
                measures += outcome
    if problems:
        raise DataError(*problems)
    return measures


def _notes_on_files(scores: Scores) -> Iterator[str]:
    if scores.missing:
        names = ", ".join(scores.missing)
        cases = count(len(scores.missing), "case")
        yield f"{cases} without a prediction, counted as wrong in every voxel: {names}"
    if scores.extra:
        names = ", ".join(scores.extra)
        yield f"{count(len(scores.extra), 'prediction')} without a reference, not scored: {names}"

    if scores.unread:
        names = ", ".join(scores.unread)
        yield f"not read, because the names are not those of label maps: {names}"


def _unread(reference: Path, prediction: Path) -> list[str]:
    names: list[str] = []
    for folder in dict.fromkeys((reference, prediction)):
        names += [f"{folder.name}/{name}" for name in unread_entries(folder)]
    return names


def _notes_on_regions(cases: pd.DataFrame, empty: EmptyPolicy) -> Iterator[str]:
    for region, part in cases.groupby("region", sort=False):
        has_prediction = part["tp"] + part["fp"] > 0
        has_reference = part["tp"] + part["fn"] > 0
        if not has_prediction.any():
            yield f"region '{region}': every prediction is empty"
        share = float((~has_reference).mean())
        if share == 1:
            yield describe_absence(str(region), empty, cases="reference")
        elif share > _MANY_EMPTY:
            yield f"region '{region}': {share:.0%} of the references are empty; this raises the mean, see dice_pos"
