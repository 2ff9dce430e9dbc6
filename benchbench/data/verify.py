"""Opens every file of a dataset and lists all that is wrong with it, not the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchbench.contract import Case, CaseRef, Dataset, Task
from benchbench.data.case_names import load_case, name_problems, twins
from benchbench.data.folder import dataset_digest, file_digest
from benchbench.data.folds import PARTS, make_folds
from benchbench.data.likeness import Thumbnail, near_twins, thumbnail
from benchbench.data.mirror import mirrored_axes
from benchbench.errors import DataError
from benchbench.images.arrays import voxel_digest


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
    small: Thumbnail | None = None
    regions: frozenset[str] = frozenset()
    """Those that have a voxel."""
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def verify(
    dataset: Dataset, *, threads: int, progress: Callable[[], None], folds: int = 5, validation: float = 0.2
) -> Verification:
    """Reads and checks every case, one in memory per thread.

    A region that no case of some part has is remarked on for the cross-validation of `folds` and `validation`.

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
    problems = [*name_problems(cases), *(problem for finding in findings for problem in finding.problems)]
    problems += twins((finding.case, finding.voxels) for finding in findings if finding.voxels)
    remarks = [remark for finding in findings for remark in finding.remarks]
    different = {finding.voxels: finding for finding in findings if finding.small is not None}.values()
    remarks += near_twins([(finding.case, finding.small) for finding in different if finding.small is not None])
    if not problems:
        remarks += _absences(findings, dataset.task.regions, folds=folds, validation=validation)
    whole = all(finding.digest for finding in findings)
    return Verification(
        cases=cases,
        digest=dataset_digest({finding.case.id: finding.digest for finding in findings}) if whole else None,
        problems=tuple(problems),
        remarks=tuple(remarks),
    )


def _look(dataset: Dataset, case: CaseRef) -> _Finding:
    digest = ""
    try:
        digest = file_digest(dataset.files(case.id))
        loaded = load_case(dataset, case.id)
    except DataError as error:
        return _Finding(case=case, digest=digest, problems=error.problems)
    remarks = tuple(f"{case.id}: {remark}" for remark in _remarks(loaded, dataset.task.channels))
    return _Finding(
        case=case,
        digest=digest,
        voxels=voxel_digest(loaded.image),
        small=thumbnail(loaded),
        regions=_present(loaded, dataset.task),
        remarks=remarks,
    )


def _present(case: Case, task: Task) -> frozenset[str]:
    values = set(np.unique(case.label).tolist())
    return frozenset(region for region, members in task.regions.items() if values & set(members))


def _absences(
    findings: Sequence[_Finding], regions: Iterable[str], *, folds: int, validation: float
) -> Iterator[str]:
    """A line for each region that is nowhere, or in no case of one part of a fold."""
    having = {region: {found.case for found in findings if region in found.regions} for region in regions}
    for region in [region for region, cases in having.items() if not cases]:
        yield f"region {region}: in no case, so that nothing can be learnt or scored; check the label's map"
    try:
        made = make_folds([found.case for found in findings], folds=folds, validation=validation)
    except DataError:  # too few patients, which a benchmark of so many folds is told
        return
    for region, cases in having.items():
        lacking = [
            f"{part} of fold {fold.number}" for fold in made for part in PARTS if cases.isdisjoint(fold.part(part))
        ]
        if cases and lacking:
            yield f"region {region}: in {len(cases)} of {len(findings)} cases, in none of {', '.join(lacking)}"


def _remarks(case: Case, channels: Sequence[str]) -> Iterator[str]:
    if not case.label.any():
        yield "nothing is labelled"
    for axis in mirrored_axes(case):
        yield f"the label fits the image better when it is mirrored along axis {axis}; look at it"
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
