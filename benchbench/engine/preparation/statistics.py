"""Voxel size and intensities that a fold takes from its training part.

Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z; nnunetv2/experiment_planning and its CTNormalization
Differs: intensities are a fixed sample of at most 10,000 labelled voxels of each case; nnU-Net draws at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchbench.contract import Case, CaseRef, Dataset, Task
from benchbench.data.case_checks import load_case
from benchbench.engine.preparation.frame import nonzero_box, whole_frame
from benchbench.engine.preparation.labels import region_bits
from benchbench.errors import DataError
from benchbench.images.arrays import IGNORED, BitMasks
from benchbench.spec.protocol import Protocol
from benchbench.threads import case_threads

_MOST_VOXELS = 10_000
_PERCENTILES = (0.5, 99.5)
_ANISOTROPY = 3
_FINE_PERCENTILE = 10  # of the coarsest axis, where the data are anisotropic
NO_VOXEL_SIZE = "found no voxel size, which protocol.spacing needs; give spacing_mm, or leave spacing out"


class ChannelStatistics(NamedTuple):
    """Intensities of the labelled voxels of one channel."""

    low: float
    """The 0.5th percentile."""
    high: float
    """The 99.5th percentile."""
    mean: float
    sd: float


class Statistics(NamedTuple):
    """Values that the training part of a fold gives; empty where a protocol needs none."""

    spacing_mm: tuple[float, ...] | None = None
    """Voxel size that cases are resampled to, along the resampled axes."""
    intensities: tuple[ChannelStatistics, ...] = ()
    """One for each channel."""

    def content(self) -> dict[str, Any]:
        """Return the values as JSON has them; {} where there are none."""
        if self == NO_STATISTICS:
            return {}
        return {"spacing_mm": self.spacing_mm, "intensities": [list(channel) for channel in self.intensities]}


NO_STATISTICS = Statistics()


class CaseMeasures(NamedTuple):
    """The values of a case from which `Statistics` are computed."""

    spacing_mm: tuple[float, ...] | None
    """Along the axes of the prepared case."""
    shape: tuple[int, ...]
    """Size after cropping, in the same axes."""
    intensities: NDArray[np.float32]
    """(C, N) of labelled voxels, ignored ones left out."""


def read_statistics(content: Mapping[str, Any]) -> Statistics:
    """Return the values that `content` gave."""
    if not content:
        return NO_STATISTICS
    spacing = content["spacing_mm"]
    channels = tuple(ChannelStatistics(*values) for values in content["intensities"])
    return Statistics(None if spacing is None else tuple(spacing), channels)


def learns_from_training(protocol: Protocol) -> bool:
    """Return True if cases are prepared by values of the training part, so that each fold prepares its own."""
    return isinstance(protocol.spacing, str) or protocol.intensity == "ct"


def measure_case(case: Case, task: Task, protocol: Protocol) -> CaseMeasures:
    """Return the measures of a case, of the axes and the cropped part that preparation uses."""
    image, label, affine = case.image, case.label, case.affine
    spacing = case.spacing_mm
    if label.ndim == 2:
        image, label, affine = image[:, None], label[None], None
        spacing = None if spacing is None else (1.0, *spacing)
    frame = whole_frame(label.shape, affine, slice_axis=protocol.slice_axis if protocol.ndim == 2 else None)
    if protocol.crop == "nonzero":
        frame = frame._replace(box=frame.orient_box(nonzero_box(image)))
    bits = region_bits(label, task, labelled=case.labelled_regions)
    intensities = labelled_intensities(image, bits)
    ordered = None if spacing is None else tuple(float(spacing[axis]) for axis in frame.axes)
    shape = tuple(stop - start for start, stop in frame.box)
    return CaseMeasures(ordered, shape, intensities)


def labelled_intensities(image: NDArray[Any], bits: BitMasks) -> NDArray[np.float32]:
    """Return the intensities (C, N) of evenly spaced labelled voxels of (C, *space), at most 10,000."""
    labelled = np.flatnonzero((bits != 0) & (bits != IGNORED))
    step = max(1, -(-len(labelled) // _MOST_VOXELS))
    channels = [channel.ravel()[labelled[::step]] for channel in image]
    return np.asarray(channels, np.float32)


def measure_cases(
    dataset: Dataset, cases: Sequence[CaseRef], protocol: Protocol, *, threads: int
) -> dict[str, CaseMeasures]:
    """Return case id -> its measures; each thread holds one case in memory.

    Raises:
        DataError: a case cannot be read.
    """
    task = dataset.task

    def measure(case: CaseRef) -> CaseMeasures:
        return measure_case(load_case(dataset, case.id), task, protocol)

    with case_threads(threads) as pool:
        measures = list(pool.map(measure, cases))
    return {case.id: of_case for case, of_case in zip(cases, measures, strict=True)}


def training_statistics(measures: Mapping[str, CaseMeasures], protocol: Protocol) -> Statistics:
    """Return the values that the training cases of a fold, by their ids, give.

    Raises:
        DataError: a case has no voxel size, or no case has a labelled voxel.
    """
    return Statistics(
        _target_spacing(measures, protocol),
        _intensities(measures) if protocol.intensity == "ct" else (),
    )


def _target_spacing(measures: Mapping[str, CaseMeasures], protocol: Protocol) -> tuple[float, ...] | None:
    if not isinstance(protocol.spacing, str):
        return protocol.spacing
    spacings: list[Sequence[float]] = []
    unknown: list[str] = []
    for name, of_case in measures.items():
        if of_case.spacing_mm is None:
            unknown.append(f"{name}: {NO_VOXEL_SIZE}")
        else:
            spacings.append(of_case.spacing_mm[-protocol.ndim :])
    if unknown:
        raise DataError(*unknown)
    shapes = [of_case.shape[-protocol.ndim :] for of_case in measures.values()]
    if protocol.spacing == "median":
        return tuple(np.median(spacings, axis=0).tolist())
    return anisotropic_spacing(spacings, shapes)


def anisotropic_spacing(spacings: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]]) -> tuple[float, ...]:
    """Return the median voxel size; along an axis that is much coarser than the others, a finer one.

    An axis is much coarser if its median spacing is more than 3 times the others' and its median number of voxels,
    times 3, less than the others'. It gets the 10th percentile of its spacings, but no less than the others have.
    """
    target = np.median(spacings, axis=0)
    size = np.median(shapes, axis=0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(len(target)) if axis != worst]
    largest_other = float(max(target[axis] for axis in others))
    has_coarse_spacing = target[worst] > _ANISOTROPY * largest_other
    has_few_voxels = size[worst] * _ANISOTROPY < min(size[axis] for axis in others)
    if has_coarse_spacing and has_few_voxels:
        fine = float(np.percentile([spacing[worst] for spacing in spacings], _FINE_PERCENTILE))
        if fine < largest_other:
            fine = largest_other + 1e-5
        target[worst] = fine
    return tuple(target.tolist())


def _intensities(measures: Mapping[str, CaseMeasures]) -> tuple[ChannelStatistics, ...]:
    pooled = np.concatenate([of_case.intensities for of_case in measures.values()], axis=1)
    if not pooled.shape[1]:
        raise DataError(
            'found no labelled voxel in the training part, which intensity = "ct" needs; choose another intensity'
        )
    channels = []
    for values in pooled.astype(np.float64):
        low, high = np.percentile(values, _PERCENTILES).tolist()
        channels.append(ChannelStatistics(low, high, float(values.mean()), float(values.std())))
    return tuple(channels)
