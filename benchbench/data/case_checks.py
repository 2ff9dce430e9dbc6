"""Checks that a decoded case agrees with its task and with itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from benchbench.contract import Case, Dataset, Task
from benchbench.data.retry import retry_read
from benchbench.errors import DataError
from benchbench.images.label_values import distinct_values

_MOST_LISTED = 4


def load_case(dataset: Dataset, case_id: str) -> Case:
    """Load a case and check it.

    Raises:
        DataError: names every problem of the case; an exception of the plugin is one of them.
    """
    try:
        case = retry_read(lambda: dataset.load(case_id))
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(
            f"{case_id}: found a case that needs more memory than is free, expected one that fits; free memory, or"
            " use fewer --jobs or --threads"
        ) from error
    except (Exception, SystemExit) as error:  # a plugin may raise anything; the other cases are not affected
        raise DataError(f"{case_id}: the dataset plugin failed: {type(error).__name__}: {error}") from error
    if problems := check_case(case, dataset.task, case_id):
        raise DataError(*problems)
    return case


def check_case(case: Case, task: Task, case_id: str) -> list[str]:
    """Return a line for each way in which a case contradicts its task or itself."""
    problems = [*_shape_problems(case, task), *_value_problems(case, task)]
    return [f"{case_id}: {problem}" for problem in problems]


def _shape_problems(case: Case, task: Task) -> Iterator[str]:
    image, label = case.image.shape, case.label.shape
    if len(label) not in {2, 3} or image[1:] != label:
        yield (
            f"found image {image}, label {label}, expected (C, *space) and the same space; correct the case or its"
            " plugin"
        )
    if image[0] != len(task.channels):
        yield f"found {image[0]} channels, expected {', '.join(task.channels)}; correct the case or its plugin"
    if 0 in image:
        yield f"found an image without voxels, shape {image}; remove the case"


def _value_problems(case: Case, task: Task) -> Iterator[str]:
    if np.issubdtype(case.image.dtype, np.floating):
        non_finite = case.image.size - np.count_nonzero(np.isfinite(case.image))
        if non_finite:
            yield f"found {non_finite} voxels of the image nan or infinite; correct or remove the case"
    known = {0}.union(task.ignored, *task.regions.values())
    if not distinct_values(case.label) <= known:
        unknown = {value: count for value, count in _label_counts(case).items() if value not in known}
        first = list(unknown.items())[:_MOST_LISTED]
        listed = ", ".join(f"{value} ({count} voxels)" for value, count in first)
        yield f"found label values {listed}, expected only {sorted(known)}; check the label's map"
    yield from _reader_problems(case, known)
    yield from _declaration_problems(case, task)
    if task.ignored and np.isin(case.label, task.ignored).all():
        yield f"found every voxel ignored (label {_join(task.ignored)}), so nothing can be scored; remove the case"


def _reader_problems(case: Case, known: Collection[int]) -> Iterator[str]:
    """Yield a line for each label of a reader with another shape than the label, or with values of no region."""
    shape = case.label.shape
    for reader, label in case.reader_labels.items():
        if label.shape != shape:
            yield f"label of {reader}: found shape {label.shape}, expected {shape} like the label; correct it"
        unknown = sorted(distinct_values(label).difference(known))
        if unknown:
            yield f"label of {reader}: found {_join(unknown)}, expected only {sorted(known)}; correct it"


def _declaration_problems(case: Case, task: Task) -> Iterator[str]:
    """Yield a line for each declared region that the task lacks, or one if no region is declared as labelled."""
    if case.labelled_regions is None:
        return
    if not case.labelled_regions:
        yield "found no labelled region, so nothing can be learnt or scored; declare one, or predict the case"
    for region in case.labelled_regions:
        if region not in task.regions:
            yield f"labelled_regions: found '{region}', expected some of {', '.join(task.regions)}; correct it"


def _join(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def _label_counts(case: Case) -> dict[int, int]:
    """Return label value -> number of voxels, without 0."""
    values = case.label.ravel("K")
    values = values[np.flatnonzero(values != 0)]  # most voxels are 0, and sorting them takes time
    unique, counts = np.unique(values, return_counts=True)
    return dict(zip(unique.tolist(), counts.tolist(), strict=True))
