"""Spatial transforms of volumes: flips, zooms and shifts axis by axis, in place.

Along an axis all steps of a sample are one factor and one offset. They map a position in the output, in voxels
from the centre of the patch, to the position in the input that appears there: factor x position + offset.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchbench.engine.augmentation import samples
from benchbench.engine.augmentation.axes import multiply_batch, multiply_sample

_KEYS_A = -0.5
"""Parameter a of Keys' cubic; with this value it reproduces a parabola."""


class AxisMaps(NamedTuple):
    """The maps of a batch along the axes D, H and W, float64 on the CPU."""

    factors: Tensor
    """(B, 3)."""
    offsets: Tensor
    """(B, 3)."""
    cubic: Tensor
    """(B,) True where images are resampled by cubics, else linearly."""

    def then(self, other: AxisMaps) -> AxisMaps:
        """Return the maps of these transforms followed by others."""
        return AxisMaps(
            self.factors * other.factors,
            self.offsets + self.factors * other.offsets,
            self.cubic | other.cubic,
        )

    def select(self, index: slice | Tensor) -> AxisMaps:
        """Return the maps of some samples."""
        return AxisMaps(self.factors[index], self.offsets[index], self.cubic[index])


def identity_maps(count: int) -> AxisMaps:
    """Return maps of `count` samples that change nothing."""
    return shift_maps(torch.zeros(count, 3, dtype=torch.float64))


def scale_maps(factors: Tensor, *, cubic: Tensor | None = None) -> AxisMaps:
    """Return maps that magnify about the centre by factors (B, 3); -1 flips."""
    linear = torch.zeros(len(factors), dtype=torch.bool)
    return AxisMaps(1 / factors, torch.zeros_like(factors), linear if cubic is None else cubic)


def shift_maps(voxels: Tensor) -> AxisMaps:
    """Return maps that shift towards the ends of the axes by voxels (B, 3)."""
    return AxisMaps(torch.ones_like(voxels), -voxels, torch.zeros(len(voxels), dtype=torch.bool))


def transform_in_place(images: Tensor, labels: Tensor, maps: AxisMaps) -> None:
    """Transform images (B, C, D, H, W) float32 and labels (B, D, H, W) in place, both contiguous.

    Flips keep every value, bit by bit. Other samples are resampled once, images linearly or by cubics and labels
    by their nearest voxel, with 0 beyond the border.

    Source: the cubic of Keys 1981, doi:10.1109/TASSP.1981.1163711, with a = -0.5.
    Differs: near the border only the voxels that exist have weights, scaled to add up to 1.
    """
    is_unscaled = (maps.factors.abs() == 1).all(1)
    is_exact = is_unscaled & (maps.offsets == 0).all(1)
    _flip(images, labels, (maps.factors < 0) & is_exact[:, None])
    (resampled,) = (~is_exact).nonzero(as_tuple=True)
    if len(resampled):
        chosen = maps.select(resampled)
        positions = [_positions(chosen, axis, size) for axis, size in enumerate(labels.shape[1:])]
        _resample_images(images, resampled, positions, cubic=chosen.cubic)
        _resample_labels(labels, resampled, positions)


def _flip(images: Tensor, labels: Tensor, flipped: Tensor) -> None:
    """Flip samples in place; flipped (B, 3)."""
    for number, sample_flips in enumerate(flipped.tolist()):
        axes = [axis - 3 for axis in range(3) if sample_flips[axis]]
        if axes:
            # one channel after another: its copy stays in the cache of a CPU
            for volume in (*images[number], labels[number]):
                volume.copy_(volume.flip(axes))


def _positions(maps: AxisMaps, axis: int, size: int) -> Tensor:
    """Return the input positions (B, size) that appear along an axis, in voxels from the first."""
    middle = (size - 1) / 2
    outputs = torch.arange(size, dtype=torch.float64) - middle
    factors = maps.factors[:, axis, None]
    offsets = maps.offsets[:, axis, None]
    return factors * outputs + offsets + middle


def _resample_images(images: Tensor, chosen: Tensor, positions: list[Tensor], *, cubic: Tensor) -> None:
    matrices = []
    for axis_positions in positions:
        weights = _interpolation_matrices(axis_positions, cubic=cubic)
        matrices.append(weights.to(images.device, images.dtype, non_blocking=True))
    if samples.one_at_a_time(images):
        for number, *sample_matrices in zip(chosen.tolist(), *matrices, strict=True):
            multiply_sample(images[number], sample_matrices)
    else:
        index = chosen.to(images.device, non_blocking=True)
        images[index] = multiply_batch(images[index], matrices)


def _resample_labels(labels: Tensor, chosen: Tensor, positions: list[Tensor]) -> None:
    indices, insides = [], []
    for axis_positions, size in zip(positions, labels.shape[1:], strict=True):
        nearest = axis_positions.round()
        insides.append((nearest >= 0) & (nearest < size))
        index = nearest.clamp(0, size - 1).long()
        indices.append(index.to(labels.device, non_blocking=True))
    for row, number in enumerate(chosen.tolist()):
        label = labels[number]
        for axis in range(3):
            label = label.index_select(axis, indices[axis][row])
        z, y, x = (inside[row] for inside in insides)
        if not (z.all() and y.all() and x.all()):
            is_inside = z[:, None, None] & y[:, None] & x
            label *= is_inside.to(labels.device, non_blocking=True)
        labels[number] = label


def _interpolation_matrices(positions: Tensor, *, cubic: Tensor) -> Tensor:
    """Return (B, size, size) the weight of each input voxel at each of the positions (B, size)."""
    size = positions.shape[1]
    distances = (positions[:, :, None] - torch.arange(size, dtype=torch.float64)).abs()
    linear = (1 - distances).clamp_min(0)
    if not cubic.any():
        return linear
    beyond_near = torch.where(distances < 2, _keys_far(distances), 0)
    keys = torch.where(distances < 1, _keys_near(distances), beyond_near)
    is_inside = (positions >= -0.5) & (positions <= size - 0.5)
    keys = torch.where(is_inside[:, :, None], keys / keys.sum(2, keepdim=True), 0)
    return torch.where(cubic[:, None, None], keys, linear)


def _keys_near(distances: Tensor) -> Tensor:
    return ((_KEYS_A + 2) * distances - (_KEYS_A + 3)) * distances**2 + 1


def _keys_far(distances: Tensor) -> Tensor:
    return _KEYS_A * (((distances - 5) * distances + 8) * distances - 4)
