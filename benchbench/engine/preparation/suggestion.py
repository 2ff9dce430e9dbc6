"""The protocol that nnU-Net's rules give for a dataset, with the reason for each value.

Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z; nnunetv2/experiment_planning, default planner for 8 GB
Differs: axes are not reordered, and no cascade is planned. The spacing is that of all cases, as in nnU-Net; in a
run it is that of the training part of each fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchbench.contract import Task
from benchbench.engine.preparation.description import CaseDescription
from benchbench.engine.preparation.statistics import anisotropic_spacing
from benchbench.words import count

_SMALLEST_FEATURE_MAP = 4
_FIRST_FEATURES = 32
_MOST_FEATURES = {2: 512, 3: 320}
_REFERENCE_VALUES = {2: 85_000_000, 3: 560_000_000}
"""Numbers of feature map values of a network that fills 8 GB at the reference batch."""
_REFERENCE_BATCH = {2: 12, 3: 2}
_LEAST_BATCH = 2
_LARGEST_VOXELS = {2: 2048**2, 3: 256**3}
"""Size of the patch from which the search starts."""
_LARGEST_SHARE = 0.05  # of all voxels in a batch
_STEPS = 250  # in an epoch
_CROP_HELPS_BELOW = 0.75  # size of the box of nonzero voxels as a part of the whole
_WIDTH = 88  # of a comment


class Topology(NamedTuple):
    """The poolings of a U-Net for a patch."""

    strides: tuple[tuple[int, ...], ...]
    """Strides of each stage, the first one without pooling."""
    patch: tuple[int, ...]
    """The patch, enlarged to multiples of the whole pooling."""

    @property
    def multiple(self) -> tuple[int, ...]:
        return tuple(int(factor) for factor in np.prod(self.strides, axis=0))


class Sizes(NamedTuple):
    """The patch and the batch of a network that fits into 8 GB."""

    patch: tuple[int, ...]
    batch: int


def topology_of(spacing: Sequence[float], patch: Sequence[int]) -> Topology:
    """Return the poolings for a patch: axes of similar spacing are halved until they have under 8 voxels."""
    spacings, sizes = np.array(spacing, float), np.array(patch)
    strides = [(1,) * len(sizes)]
    while True:
        is_large = sizes >= 2 * _SMALLEST_FEATURE_MAP
        if not is_large.any():
            break
        halved = is_large & (spacings / spacings[is_large].min() < 2)
        if halved.sum() == 1 and sizes[halved][0] < 3 * _SMALLEST_FEATURE_MAP:
            break
        strides.append(tuple(np.where(halved, 2, 1).tolist()))
        spacings = np.where(halved, spacings * 2, spacings)
        sizes = np.where(halved, -(-sizes // 2), sizes)
    multiple = np.prod(strides, axis=0)
    padded = -(-np.array(patch) // multiple) * multiple
    return Topology(tuple(strides), tuple(int(size) for size in padded))


def feature_values(topology: Topology, *, outputs: int) -> int:
    """Return the number of values of all feature maps of a plain U-Net for one patch, two convolutions a stage."""
    most = _MOST_FEATURES[len(topology.patch)]
    size = np.array(topology.patch)
    total = 0
    for stage, stride in enumerate(topology.strides):
        size = size // np.array(stride)
        values = min(most, _FIRST_FEATURES * 2**stage) * int(size.prod())
        is_last = stage == len(topology.strides) - 1
        total += 2 * values if is_last else 5 * values  # the decoder has two convolutions and an upsampling
    return total + outputs * int(np.prod(topology.patch))


def plan_sizes(spacing: Sequence[float], shape: Sequence[float], *, outputs: int, n_voxels: float) -> Sizes:
    """Return the largest patch, in the proportions of the images, and the batch for it.

    `shape` is the median size of the resampled cases, and `n_voxels` the number of voxels of all of them.
    """
    ndim = len(spacing)
    inverse = 1 / np.array(spacing, float)
    largest = inverse * (_LARGEST_VOXELS[ndim] / inverse.prod()) ** (1 / ndim)
    first = [min(round(side), round(limit)) for side, limit in zip(largest.tolist(), shape, strict=True)]
    topology = topology_of(spacing, first)
    reference, reference_batch = _REFERENCE_VALUES[ndim], _REFERENCE_BATCH[ndim]
    while feature_values(topology, outputs=outputs) / reference_batch * _LEAST_BATCH > reference:
        topology = _reduce(topology, spacing, shape)
    batch = round(reference / feature_values(topology, outputs=outputs) * reference_batch)
    most = round(_LARGEST_SHARE * n_voxels / float(np.prod(topology.patch)))
    return Sizes(topology.patch, max(min(batch, most), _LEAST_BATCH))


def _reduce(topology: Topology, spacing: Sequence[float], shape: Sequence[float]) -> Topology:
    """Shorten the axis along which the patch has the largest part of the image, by one multiple of its pooling."""
    axis = int(np.argsort(np.array(topology.patch) / np.array(shape))[-1])
    smaller = list(topology.patch)
    smaller[axis] -= topology.multiple[axis]
    # the shorter patch may have fewer poolings, and thus a smaller multiple
    multiple = topology_of(spacing, smaller).multiple[axis]
    patch = list(topology.patch)
    patch[axis] -= multiple
    return topology_of(spacing, patch)


def suggest_protocol(cases: Sequence[CaseDescription], task: Task) -> str:
    """Return a [protocol] table in TOML, with comments that give the reasons."""
    ndim = 3 if _is_volumetric(cases) else 2
    spacings = [item.spacing_mm[-ndim:] for item in cases if item.spacing_mm is not None]
    crops = float(np.median([np.prod(item.nonzero_shape) / item.n_voxels for item in cases])) < _CROP_HELPS_BELOW
    shapes = [(item.nonzero_shape if crops else item.shape)[-ndim:] for item in cases]
    has_spacing = len(spacings) == len(cases)
    lines = [f"# By nnU-Net's rules for 8 GB of GPU memory, from {count(len(cases), 'case')}.", "[protocol]"]
    lines.append(f"ndim = {ndim}")
    target: tuple[float, ...] = (1.0,) * ndim
    if has_spacing:
        target = anisotropic_spacing(spacings, shapes)
        shapes = [
            tuple(np.round(np.array(shape) * spacing / target))
            for shape, spacing in zip(shapes, spacings, strict=True)
        ]
        lines += _spacing_lines(target, ndim)
    else:
        lines += _comment("No spacing: the voxel size of some cases is unknown.")
    lines += _crop_lines(task, cases, crops=crops)
    shape = np.median(shapes, axis=0).tolist()
    n_voxels = len(cases) * float(np.prod(shape))
    sizes = plan_sizes(target, shape, outputs=len(task.regions) + 1, n_voxels=n_voxels)
    lines += _comment(
        f"The largest patch, in the proportions of the median image of {_by(shape)} voxels, of which two fit; the"
        " batch that fills the memory, but at most 5 % of all voxels."
    )
    lines += [f"patch = {list(sizes.patch)}", f"batch = {sizes.batch}"]
    lines += _training_lines(task, sizes.batch, len(cases), ndim)
    return "\n".join(lines) + "\n"


def _is_volumetric(cases: Sequence[CaseDescription]) -> bool:
    return all(len(item.shape) == 3 for item in cases) and float(np.median([item.shape[0] for item in cases])) > 1


def _spacing_lines(target: Sequence[float], ndim: int) -> list[str]:
    rounded = ", ".join(f"{size:.4g}" for size in target)
    if ndim == 2:
        return [*_comment(f"The median pixel size is {rounded} mm."), 'spacing = "median"', 'resize = "spacing"']
    return [
        *_comment(
            f"The median voxel size, with a finer one along an axis that is 3 times coarser than the others:"
            f" {rounded} mm here."
        ),
        'spacing = "anisotropic"',
    ]


def _crop_lines(task: Task, cases: Sequence[CaseDescription], *, crops: bool) -> list[str]:
    lines = []
    if crops:
        lines += _comment("The box of nonzero voxels has less than 3/4 of the image.")
        lines.append('crop = "nonzero"')
    if all(channel.lower() == "ct" for channel in task.channels):
        return [*lines, *_comment("The channel is CT, whose intensities have a scale."), 'intensity = "ct"']
    if all(item.is_byte for item in cases):
        return [*lines, *_comment("Images of 8 bits are divided by 255."), 'intensity = "unit"']
    intensity = "zscore_nonzero" if crops else "zscore"
    return [*lines, *_comment("The channels have no common scale."), f'intensity = "{intensity}"']


def _training_lines(task: Task, batch: int, n_cases: int, ndim: int) -> list[str]:
    values: set[int] = set()
    n_values = 0
    for of_region in task.regions.values():
        values |= set(of_region)
        n_values += len(of_region)
    loss = "bce+dice" if n_values > len(values) else "ce+dice"
    lines = _comment(
        "nnU-Net trains 1000 epochs of 250 steps, with a third of the patches around labelled voxels."
    )
    lines.append("epochs = 1000")
    if ndim == 3:
        lines.append(f"patches_per_case = {max(1, round(_STEPS * batch / (0.8 * n_cases)))}")
        lines.append("oversample_foreground = 0.33")
    lines.append('optimizer = { name = "sgd", lr = 1e-2, momentum = 0.99, weight_decay = 3e-5 }')
    lines += _comment("Regions overlap." if loss == "bce+dice" else "Each voxel is in one region at most.")
    lines.append(f'loss = "{loss}"')
    return lines


def _by(shape: Sequence[float]) -> str:
    return " x ".join(f"{side:.0f}" for side in shape)


def _comment(text: str) -> list[str]:
    """Return a text as lines of comments."""
    lines, line = [], "#"
    for word in text.split():
        if len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = "#"
        line += f" {word}"
    return [*lines, line]
