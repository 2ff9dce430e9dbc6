"""Resamples images and labels to another voxel size, and probabilities back, by nnU-Net's rules.

Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z; default_resampling.py of nnunetv2
Differs: probabilities are resampled to the grid of the case, where nnU-Net resamples logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from numpy.typing import NDArray
from torch import Tensor

from benchbench.extras import require_extra
from benchbench.images.arrays import BitMasks
from benchbench.spec.protocol import LabelResampling, Resampling

_ANISOTROPY = 3  # the largest spacing is more than this many times the smallest
_ORDERS: dict[Resampling, int] = {"linear": 1, "cubic": 3}

Size = tuple[int, ...]
Array = NDArray[Any]


class Grid(NamedTuple):
    """The voxels of a volume before and after resampling."""

    native: Size
    """Size of the cropped part of the case."""
    size: Size
    """Size after resampling."""
    separate_axis: int | None
    """Axis of thick slices, which are resampled one by one, and of which the nearest counts; None without one."""


def new_grid(native: Sequence[int], spacing_mm: Sequence[float], target_mm: Sequence[float]) -> Grid:
    """Return the grid of a volume whose voxels get another size."""
    size = []
    for length, spacing, target in zip(native, spacing_mm, target_mm, strict=True):
        size.append(max(1, round(spacing / target * length)))
    return Grid(tuple(native), tuple(size), separate_axis(spacing_mm, target_mm))


def separate_axis(spacing_mm: Sequence[float], target_mm: Sequence[float]) -> int | None:
    """Return the axis of thick slices, before or after resampling; None where no single axis is much coarser."""
    for spacing in (spacing_mm, target_mm):
        largest = max(spacing)
        if largest / min(spacing) > _ANISOTROPY:
            coarse = [axis for axis, length in enumerate(spacing) if length == largest]
            return coarse[0] if len(coarse) == 1 else None
    return None


def resample_image(image: Array, grid: Grid, method: Resampling) -> Array:
    """Return an image (C, *native) as (C, *size) in float32, within the range of each channel."""
    resize = _resizer(_ORDERS[method])
    return np.stack([_resample(channel.astype(np.float32), grid, resize) for channel in image])


def resample_label(bits: BitMasks, grid: Grid, method: LabelResampling) -> BitMasks:
    """Return bit masks (*native) as (*size).

    linear: the mask of each value is resampled linearly, and a voxel gets the value whose mask is highest there;
    where several are, the nearest one, if it is among them, and otherwise the lowest. nearest: each voxel takes
    its nearest neighbour.
    """
    if method == "nearest":
        return _resample(bits, grid, _nearest)
    return _resample(bits, grid, _resize_one_hot)


def restore(probabilities: Tensor, grid: Grid) -> Tensor:
    """Return probabilities (K, *size) as (K, *native): linear, and the nearest along the axis of thick slices."""
    if grid.native == grid.size:
        return probabilities
    axis = grid.separate_axis
    if axis is None:
        return F.interpolate(probabilities[None], grid.native, mode="trilinear", align_corners=False)[0]
    slices = probabilities.movedim(1 + axis, 0)  # (S, K, h, w)
    plane = [length for number, length in enumerate(grid.native) if number != axis]
    slices = F.interpolate(slices, plane, mode="bilinear", align_corners=False)
    index = nearest_indices(grid.size[axis], grid.native[axis])
    return slices[index].movedim(0, 1 + axis)


def nearest_indices(length: int, new_length: int) -> list[int]:
    """Return for each voxel of a resampled axis the nearest voxel of the axis before."""
    centres = (np.arange(new_length) + 0.5) * length / new_length - 0.5
    nearest: list[int] = np.floor(centres + 0.5).astype(int).clip(0, length - 1).tolist()
    return nearest


def _resample(volume: Array, grid: Grid, resize: Callable[[Array, Size], Array]) -> Array:
    if grid.native == grid.size:
        return volume
    axis = grid.separate_axis
    if axis is None:
        return resize(volume, grid.size)
    plane = tuple(length for number, length in enumerate(grid.size) if number != axis)
    slices = np.moveaxis(volume, axis, 0)
    if slices.shape[1:] != plane:
        slices = np.stack([resize(slice_, plane) for slice_ in slices])
    slices = slices[nearest_indices(grid.native[axis], grid.size[axis])]
    return np.ascontiguousarray(np.moveaxis(slices, 0, axis))


def _resizer(order: int) -> Callable[[Array, Size], Array]:
    require_extra("scikit-image", "protocol.spacing")
    from skimage.transform import resize  # noqa: PLC0415 few benchmarks need it

    def resize_to(volume: Array, size: Size) -> Array:
        resized: Array = resize(volume, size, order=order, mode="edge", anti_aliasing=False, clip=True)
        return resized

    return resize_to


def _nearest(volume: Array, size: Size) -> Array:
    indices = [nearest_indices(old, new) for old, new in zip(volume.shape, size, strict=True)]
    return volume[np.ix_(*indices)]


def _resize_one_hot(volume: Array, size: Size) -> Array:
    resize = _resizer(1)
    nearest = _nearest(volume, size)
    values = np.unique(volume)
    resized = np.full(size, values[0], volume.dtype)
    highest = np.zeros(size)
    of_nearest = np.zeros(size)
    for value in values:
        share = resize((volume == value).astype(np.float64), size)
        is_higher = share > highest
        resized[is_higher] = value
        np.maximum(highest, share, out=highest)
        np.copyto(of_nearest, share, where=nearest == value)
    return np.where(of_nearest == highest, nearest, resized)
