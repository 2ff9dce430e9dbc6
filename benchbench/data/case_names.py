"""What can be wrong with a decoded case, and with cases side by side."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

import numpy as np

from benchbench.contract import Case, CaseRef, Dataset, Task
from benchbench.data.patience import patiently
from benchbench.errors import DataError


def load_case(dataset: Dataset, case_id: str) -> Case:
    """A case that agrees with its task and with itself.

    Raises:
        DataError: with everything that is wrong with the case, a plugin's own failure included.
    """
    try:
        case = patiently(lambda: dataset.load(case_id))
    except (DataError, MemoryError):
        raise
    except Exception as error:  # whatever a plugin raises is a fault of this case, not of the others
        raise DataError(f"{case_id}: the dataset plugin failed: {type(error).__name__}: {error}") from error
    if problems := check_case(case, dataset.task, case_id):
        raise DataError(*problems)
    return case


def check_case(case: Case, task: Task, case_id: str) -> list[str]:
    """A line for each way in which a case contradicts its task or itself."""
    return [f"{case_id}: {problem}" for problem in (*_shape_problems(case, task), *_value_problems(case, task))]


def name_problems(cases: Iterable[CaseRef]) -> Iterator[str]:
    """A line for each case or patient whose name would not survive tables, folders and other people's machines."""
    seen: dict[str, str] = {}
    for name in dict.fromkeys(name for case in cases for name in (case.id, case.patient)):
        if not name.strip() or not name.isprintable() or len(name.encode()) > 200:
            yield f"{name!r}: found a name that is empty, too long or unprintable; rename it"
        elif name[0] == "-" or name in {".", ".."} or "/" in name or "\\" in name:
            yield f"{name!r}: found a name that reads as an option or a path, expected a plain one; rename it"
        first = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if first != name:
            yield (
                f"{name!r}: found {first!r} beside it, expected names that differ in more than case or the coding"
                " of accents; rename one"
            )


def twins(cases: Iterable[tuple[CaseRef, str]]) -> Iterator[str]:
    """A line for each image that is there under two patients, from (case, digest of its voxels).

    One of them would be trained on and the other tested: the one number that no split by patient protects.
    """
    seen: dict[str, CaseRef] = {}
    for case, digest in cases:
        first = seen.setdefault(digest, case)
        if first.patient != case.patient:
            yield (
                f"{case.id}: the same image, voxel for voxel, as {first.id} of another patient;"
                " remove one of them, or it would be trained on and tested"
            )


def _shape_problems(case: Case, task: Task) -> Iterator[str]:
    if case.label.ndim not in {2, 3} or case.image.shape[1:] != case.label.shape:
        yield f"found image {case.image.shape}, label {case.label.shape}, expected (C, *space) and the same space"
    if case.image.shape[0] != len(task.channels):
        yield f"found {case.image.shape[0]} channels, expected {', '.join(task.channels)}"
    if 0 in case.image.shape:
        yield f"found an image without voxels, shape {case.image.shape}; remove the case"


def _value_problems(case: Case, task: Task) -> Iterator[str]:
    if np.issubdtype(case.image.dtype, np.floating) and not np.isfinite(case.image).all():
        bad = case.image.size - np.count_nonzero(np.isfinite(case.image))
        yield f"found {bad} voxels of the image nan or infinite; mend or remove the case"
    known = {0, *(value for values in task.regions.values() for value in values)}
    found = case.label.ravel("K")
    found = found[np.flatnonzero(found != 0)]  # most voxels are 0, and sorting takes time
    values, counts = np.unique(found, return_counts=True)
    unknown = {
        value: count for value, count in zip(values.tolist(), counts.tolist(), strict=True) if value not in known
    }
    if unknown:
        listed = ", ".join(f"{value} ({count} voxels)" for value, count in list(unknown.items())[:4])
        yield f"found label values {listed}, expected only {sorted(known)}; check the label's map"
