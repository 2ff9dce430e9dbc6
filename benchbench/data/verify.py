"""Opens every file of a dataset and lists all that is wrong with it, not the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchbench.contract import Case, CaseRef, Dataset
from benchbench.data.check import load_case, twins, voxels_digest
from benchbench.data.folder import dataset_digest, file_digest
from benchbench.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was found in a dataset."""

    cases: tuple[CaseRef, ...]
    digest: str | None
    """SHA-256 of all files; None where some could not be read."""
    problems: tuple[str, ...]
    """What keeps a benchmark from being run."""
    remarks: tuple[str, ...]
    """What is allowed and worth knowing."""


@dataclass(frozen=True, kw_only=True)
class _Finding:
    case: CaseRef
    digest: str = ""
    voxels: str = ""
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def verify(dataset: Dataset, *, threads: int, progress: Callable[[], None]) -> Verification:
    """Reads and checks every case, one in memory per thread.

    Raises:
        DataNotFoundError: there are no cases.
    """

    def look(case: CaseRef) -> _Finding:
        try:
            return _look(dataset, case)
        finally:
            progress()

    cases = tuple(dataset.cases())
    with ThreadPoolExecutor(threads) as pool:  # reading and hashing let go of the interpreter
        findings = list(pool.map(look, cases))
    problems = [problem for finding in findings for problem in finding.problems]
    problems += twins((finding.case, finding.voxels) for finding in findings if finding.voxels)
    whole = all(finding.digest for finding in findings)
    return Verification(
        cases=cases,
        digest=dataset_digest({finding.case.id: finding.digest for finding in findings}) if whole else None,
        problems=tuple(problems),
        remarks=tuple(remark for finding in findings for remark in finding.remarks),
    )


def _look(dataset: Dataset, case: CaseRef) -> _Finding:
    digest = ""
    try:
        digest = file_digest(dataset.files(case.id))
        loaded = load_case(dataset, case.id)
    except DataError as error:
        return _Finding(case=case, digest=digest, problems=error.problems)
    remarks = tuple(f"{case.id}: {remark}" for remark in _remarks(loaded, dataset.task.channels))
    return _Finding(case=case, digest=digest, voxels=voxels_digest(loaded), remarks=remarks)


def _remarks(case: Case, channels: Sequence[str]) -> Iterator[str]:
    if not case.label.any():
        yield "nothing is labelled"
    for name, channel in zip(channels, case.image, strict=True):
        if channel.min() == channel.max():
            yield f"channel {name} has one value only, {channel.flat[0]}"
    same = [
        f"{channels[first]} = {channels[second]}"
        for first in range(len(channels))
        for second in range(first + 1, len(channels))
        if np.array_equal(case.image[first], case.image[second])
    ]
    if same:
        yield f"identical channels: {', '.join(same)}"
