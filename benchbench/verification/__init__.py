"""Verifies results: digests, tables recomputed from counts, and scores recomputed from masks."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from benchbench.errors import IntegrityError
from benchbench.records.digest_list import DIGEST_LIST_NAME, digest_faults, has_digest_list
from benchbench.records.folder import ResultsFolder
from benchbench.tables.results import Results, read_results
from benchbench.verification.records import content_faults, count_runs, record_faults
from benchbench.verification.reports import compare_report
from benchbench.words import count

_NOT_RETRAINED = "nothing: training is not repeated"
_NO_MASKS = "scores were not computed again from masks; --from-masks DATA_ROOT does so with the dataset"


class Verification(NamedTuple):
    """The outcome of a verification."""

    claimed: tuple[str, ...]
    recomputed: tuple[str, ...]
    retrained: str
    faults: tuple[str, ...]
    """A line for each file, row or voxel that is not as the results claim; empty for sound results."""


def verify(folder: ResultsFolder, *, data_root: Path | None = None) -> Verification:
    """Return what a results folder claims, what was recomputed, and every fault.

    With `data_root`, which holds one folder for each dataset, saved masks are scored again.
    """
    faults = list(map(str, digest_faults(folder)))
    faults += record_faults(folder)
    recomputed = [_describe_digests(folder)]
    try:
        results = read_results(folder)
        faults += [fault for fault in content_faults(folder, results) if fault not in faults]
        report = compare_report(folder)
    except IntegrityError as error:  # without readable counts, nothing can be recomputed
        lines = [*faults, *(line for line in error.problems if line not in faults)]
        return Verification((), tuple(recomputed), _NOT_RETRAINED, tuple(lines))
    faults += report.faults
    recomputed += report.recomputed
    recomputed.append(_score_masks(folder, results, data_root, faults))
    return Verification(tuple(_claims(folder, results)), tuple(recomputed), _NOT_RETRAINED, tuple(faults))


def _describe_digests(folder: ResultsFolder) -> str:
    runs = count_runs(folder)
    text = f"the digests of {count(runs.files, 'file')} of {count(runs.done, 'run')}"
    if has_digest_list(folder):
        text += f", and of every file in {DIGEST_LIST_NAME}"
    return text


def _claims(folder: ResultsFolder, results: Results) -> list[str]:
    note = f" ({results.note})" if results.note else ""
    runs = count_runs(folder)
    rows = count(len(results.manifest.values_of("model")), "row")
    return [f"{results.manifest.title}{note}", f"{runs.done} of {count(runs.planned, 'run')} done, {rows}"]


def _score_masks(folder: ResultsFolder, results: Results, data_root: Path | None, faults: list[str]) -> str:
    """Add the faults of saved masks, and return the line that says what was scored again."""
    if data_root is None:
        return _NO_MASKS
    from benchbench.verification.masks import rescore  # noqa: PLC0415 imports torch

    rescored = rescore(folder, results, data_root)
    faults += rescored.faults
    return f"the scores of {count(rescored.masks, 'mask')} of {count(rescored.cases, 'case')} from the reference"
