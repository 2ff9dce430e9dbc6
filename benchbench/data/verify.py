"""Opens every file of a dataset and lists everything that is wrong with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchbench.contract import Case, CaseRef, Dataset, Task
from benchbench.data.case_checks import load_case
from benchbench.data.case_names import name_problems
from benchbench.data.digests import dataset_digest, file_digest
from benchbench.data.duplicates import Thumbnail, duplicates, near_duplicates, thumbnail
from benchbench.data.folds import make_folds
from benchbench.data.mirror import mirrored_axes
from benchbench.data.region_presence import absent_region_remarks, rare_region_remarks
from benchbench.data.zero_voxels import channels_without_zero, describe_channels
from benchbench.errors import DataError
from benchbench.images.arrays import voxel_digest
from benchbench.images.label_values import distinct_values
from benchbench.threads import case_threads


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The outcome of verifying a dataset."""

    cases: tuple[CaseRef, ...]
    digest: str | None
    """SHA-256 of all files; None if a file could not be read."""
    problems: tuple[str, ...]
    """Faults with which no benchmark can run."""
    remarks: tuple[str, ...]
    """Oddities that are allowed."""
    digests: Mapping[str, str]
    """Case id -> SHA-256 of its files, for the cases whose files could be read."""
    slices: int
    """Number of axial slices of all cases that could be read."""
    faulty: int
    """Number of cases with a problem of their own files."""


@dataclass(frozen=True, kw_only=True)
class _CheckedCase:
    case: CaseRef
    digest: str = ""
    """Digest of the files; '' if they could not be read."""
    voxel_digest: str = ""
    thumbnail: Thumbnail | None = None
    slices: int = 0
    regions: frozenset[str] = frozenset()
    """Regions with at least one voxel."""
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def verify(
    dataset: Dataset, *, threads: int, progress: Callable[[], None], folds: int = 5, validation: float = 0.2
) -> Verification:
    """Read and check every case; each thread holds one case in memory. `progress` is called after each case.

    A region that is missing in a whole part of a cross-validation with `folds` and `validation` gets a remark.

    Raises:
        DataNotFoundError: there are no cases.
    """

    def check(case: CaseRef) -> _CheckedCase:
        try:
            return _check(dataset, case)
        finally:
            progress()

    cases = tuple(dataset.cases())
    with case_threads(threads) as pool:  # reading and hashing release the interpreter lock
        checked = list(pool.map(check, cases))
    problems = _all_problems(checked)
    remarks = _all_remarks(checked)
    if not problems:
        remarks += _region_remarks(checked, dataset.task, folds=folds, validation=validation)
    return Verification(
        cases=cases,
        digest=_digest(checked),
        problems=tuple(problems),
        remarks=tuple(remarks),
        digests={result.case.id: result.digest for result in checked if result.digest},
        slices=sum(result.slices for result in checked),
        faulty=sum(bool(result.problems) for result in checked),
    )


def _check(dataset: Dataset, case: CaseRef) -> _CheckedCase:
    digest = ""
    try:
        digest = file_digest(dataset.files(case.id))
        loaded = load_case(dataset, case.id)
    except DataError as error:
        return _CheckedCase(case=case, digest=digest, problems=error.problems)
    remarks = tuple(f"{case.id}: {remark}" for remark in _case_remarks(loaded, dataset.task))
    return _CheckedCase(
        case=case,
        digest=digest,
        voxel_digest=voxel_digest(loaded.image),
        thumbnail=thumbnail(loaded),
        slices=_count_slices(loaded),
        regions=_present_regions(loaded, dataset.task),
        remarks=remarks,
    )


def _count_slices(case: Case) -> int:
    """Return the number of slices across the body; without an affine, along the first axis of a volume."""
    if case.label.ndim == 2:
        return 1
    axis = 0 if case.affine is None else int(np.argmax(np.abs(case.affine[2, :3])))
    return int(case.label.shape[axis])


def _case_remarks(case: Case, task: Task) -> Iterator[str]:
    channels = task.channels
    if not _present_regions(case, task):
        yield "nothing is labelled"
    for axis in mirrored_axes(case):
        yield f"the label fits the image better when it is mirrored along axis {axis}; look at it"
    for name, channel in zip(channels, case.image, strict=True):
        if channel.min() == channel.max():
            yield f"channel {name} has one value only, {channel.flat[0]}"
    full = channels_without_zero(case.image, channels)
    if full:
        yield f'{describe_channels(full, channels)}: zscore_nonzero and crop = "nonzero" find no background'
    pairs = itertools.combinations(zip(channels, case.image, strict=True), 2)
    identical = [f"{one} = {other}" for (one, first), (other, second) in pairs if np.array_equal(first, second)]
    if identical:
        yield f"identical channels: {', '.join(identical)}"


def _present_regions(case: Case, task: Task) -> frozenset[str]:
    values = distinct_values(case.label)
    return frozenset(region for region, members in task.regions.items() if values & set(members))


def _all_problems(checked: Sequence[_CheckedCase]) -> list[str]:
    problems = list(name_problems(result.case for result in checked))
    for result in checked:
        problems += result.problems
    readable = [(result.case, result.voxel_digest) for result in checked if result.voxel_digest]
    problems += duplicates(readable)
    return problems


def _all_remarks(checked: Sequence[_CheckedCase]) -> list[str]:
    remarks: list[str] = []
    for result in checked:
        remarks += result.remarks
    unique: dict[str, tuple[CaseRef, Thumbnail]] = {}  # exact duplicates are problems, not remarks
    for result in checked:
        if result.thumbnail is not None:
            unique[result.voxel_digest] = (result.case, result.thumbnail)
    remarks += near_duplicates(list(unique.values()))
    return remarks


def _region_remarks(
    checked: Sequence[_CheckedCase], task: Task, *, folds: int, validation: float
) -> Iterator[str]:
    """Yield a line for each region that no case has, or no case of one part of a fold."""
    cases_with = _cases_by_region(checked, task)
    yield from absent_region_remarks(cases_with)
    try:
        split = make_folds([result.case for result in checked], folds=folds, validation=validation)
    except DataError:  # too few patients; a benchmark with so many folds reports that
        return
    yield from rare_region_remarks(cases_with, split, n_cases=len(checked))


def _cases_by_region(checked: Sequence[_CheckedCase], task: Task) -> dict[str, set[CaseRef]]:
    cases: dict[str, set[CaseRef]] = {region: set() for region in task.regions}
    for result in checked:
        for region in result.regions:
            cases[region].add(result.case)
    return cases


def _digest(checked: Sequence[_CheckedCase]) -> str | None:
    digests: Mapping[str, str] = {result.case.id: result.digest for result in checked}
    return dataset_digest(digests) if all(digests.values()) else None
