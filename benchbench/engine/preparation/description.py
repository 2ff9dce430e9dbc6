"""Sizes, voxel sizes, intensities and region volumes of the cases of a dataset, as they are before preparation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchbench.contract import Case, CaseRef, Dataset, Task
from benchbench.data.case_checks import load_case
from benchbench.engine.preparation.frame import nonzero_box, whole_frame
from benchbench.engine.preparation.labels import region_bits
from benchbench.engine.preparation.statistics import ChannelStatistics, labelled_intensities
from benchbench.threads import case_threads

_PERCENTILES = (0.5, 99.5)
_MM3_PER_ML = 1000.0


class CaseDescription(NamedTuple):
    """The facts about one case, along axial slices, rows and columns where the orientation is known."""

    case: CaseRef
    shape: tuple[int, ...]
    """Voxels along each axis: (slices, rows, columns) of a volume, (rows, columns) of an image."""
    nonzero_shape: tuple[int, ...]
    """Size of the smallest box with every voxel that is not 0 in some channel."""
    spacing_mm: tuple[float, ...] | None
    """Voxel size along the same axes; None where unknown."""
    is_byte: bool
    """True for 8-bit images."""
    channels: tuple[ChannelStatistics, ...]
    """Intensities of all voxels, one for each channel."""
    labelled: NDArray[np.float32]
    """(C, N) intensities of labelled voxels, at most some thousands."""
    region_voxels: tuple[int, ...]
    """Voxels of each region, in the order of the task."""

    @property
    def n_voxels(self) -> int:
        return int(np.prod(self.shape))

    @property
    def voxel_ml(self) -> float | None:
        """Volume of a voxel of a volume; None where the voxel size is unknown and for images."""
        if self.spacing_mm is None or len(self.shape) < 3:
            return None
        return float(np.prod(self.spacing_mm)) / _MM3_PER_ML


def describe_cases(
    dataset: Dataset, cases: Sequence[CaseRef], *, threads: int, progress: Callable[[], object]
) -> list[CaseDescription]:
    """Read all cases and return their descriptions; each thread has one case in memory.

    Raises:
        DataError: a case cannot be read.
    """
    task = dataset.task

    def describe(case: CaseRef) -> CaseDescription:
        description = describe_case(case, load_case(dataset, case.id), task)
        progress()
        return description

    with case_threads(threads) as pool:
        return list(pool.map(describe, cases))


def describe_case(ref: CaseRef, case: Case, task: Task) -> CaseDescription:
    """Return the description of a case."""
    image, label, affine, spacing = case.image, case.label, case.affine, case.spacing_mm
    first = 0
    if label.ndim == 2:
        image, label, affine, first = image[:, None], label[None], None, 1
        spacing = None if spacing is None else (1.0, *spacing)
    frame = whole_frame(label.shape, affine, slice_axis=None)
    box = frame.orient_box(nonzero_box(image))
    ordered = None if spacing is None else tuple(float(spacing[axis]) for axis in frame.axes)
    regions = [int(np.isin(label, values).sum()) for values in task.regions.values()]
    return CaseDescription(
        case=ref,
        shape=frame.shape[first:],
        nonzero_shape=tuple(stop - start for start, stop in box)[first:],
        spacing_mm=None if ordered is None else ordered[first:],
        is_byte=image.dtype == np.uint8,
        channels=tuple(_statistics(channel) for channel in image),
        labelled=labelled_intensities(image, region_bits(label, task, labelled=case.labelled_regions)),
        region_voxels=tuple(regions),
    )


def _statistics(channel: NDArray[Any]) -> ChannelStatistics:
    low, high = np.percentile(channel, _PERCENTILES).tolist()
    mean, sd = channel.mean(dtype=np.float64), channel.std(dtype=np.float64)
    return ChannelStatistics(low, high, float(mean), float(sd))
