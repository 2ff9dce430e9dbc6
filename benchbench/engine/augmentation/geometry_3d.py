"""Moving a batch of volumes: mirrored, zoomed and shifted axis by axis, in place.

Along an axis the whole geometry of a sample is one factor and one offset. They take a place of the output, in
voxels from the patch's centre, to the place of the input that is seen there: factor x place + offset.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchbench.engine.augmentation import geometry_2d
from benchbench.engine.augmentation.axes import multiply_all, multiply_one

_SHARPNESS = -0.5
"""Keys' a, by which the cubic reproduces a parabola."""


class AxisMoves(NamedTuple):
    """What moves each sample of a batch along the axes D, H and W, float64 on the CPU."""

    factors: Tensor
    """(B, 3)."""
    offsets: Tensor
    """(B, 3)."""
    cubic: Tensor
    """(B,) whether images are resampled by cubics instead of linearly."""

    def then(self, other: AxisMoves) -> AxisMoves:
        """These moves and after them the others."""
        return AxisMoves(
            self.factors * other.factors,
            self.offsets + self.factors * other.offsets,
            self.cubic | other.cubic,
        )


def magnifying(factors: Tensor, *, cubic: Tensor | None = None) -> AxisMoves:
    """Moves that magnify what is seen about the centre by factors (B, 3); -1 mirrors."""
    none = torch.zeros(len(factors), dtype=torch.bool)
    return AxisMoves(1 / factors, torch.zeros_like(factors), none if cubic is None else cubic)


def shifting(voxels: Tensor) -> AxisMoves:
    """Moves of what is seen towards the ends of the axes by voxels (B, 3)."""
    return AxisMoves(torch.ones_like(voxels), -voxels, torch.zeros(len(voxels), dtype=torch.bool))


def move(images: Tensor, labels: Tensor, moves: AxisMoves) -> None:
    """Changes images (B, C, D, H, W) float32 and labels (B, D, H, W) in place, both contiguous.

    Mirrored samples keep every value, bit by bit. The others are resampled once, images linearly or by cubics and
    labels by their nearest voxel, with 0 beyond the border.

    Source: the cubic of Keys 1981, doi:10.1109/TASSP.1981.1163711, with a = -0.5. Differs: near the border its
    weights are those of the voxels that exist, made to add up to 1.
    """
    exact = (moves.factors.abs() == 1).all(1) & (moves.offsets == 0).all(1)
    _mirror(images, labels, (moves.factors < 0) & exact[:, None])
    (resampled,) = (~exact).nonzero(as_tuple=True)
    if len(resampled):
        chosen = AxisMoves(*(part[resampled] for part in moves))
        places = [_places(chosen, axis, size) for axis, size in enumerate(labels.shape[1:])]
        _resample_images(images, resampled, places, cubic=chosen.cubic)
        _resample_labels(labels, resampled, places)


def _mirror(images: Tensor, labels: Tensor, mirrored: Tensor) -> None:
    for number, chosen in enumerate(mirrored.tolist()):
        axes = [axis - 3 for axis in range(3) if chosen[axis]]
        if axes:
            # one channel after the other: its copy stays in a CPU's cache
            for volume in (*images[number], labels[number]):
                volume.copy_(volume.flip(axes))


def _places(moves: AxisMoves, axis: int, size: int) -> Tensor:
    """(B, size) places of the input, in voxels from its first, seen along an axis."""
    middle = (size - 1) / 2
    outputs = torch.arange(size, dtype=torch.float64) - middle
    return moves.factors[:, axis, None] * outputs + moves.offsets[:, axis, None] + middle


def _resample_images(images: Tensor, chosen: Tensor, places: list[Tensor], *, cubic: Tensor) -> None:
    matrices = [_matrices(each, cubic=cubic).to(images.device, images.dtype, non_blocking=True) for each in places]
    if geometry_2d.one_by_one(images):
        for number, *own in zip(chosen.tolist(), *matrices, strict=True):
            multiply_one(images[number], own)
    else:
        index = chosen.to(images.device, non_blocking=True)
        images[index] = multiply_all(images[index], matrices)


def _resample_labels(labels: Tensor, chosen: Tensor, places: list[Tensor]) -> None:
    nearest = [each.round() for each in places]
    sizes = labels.shape[1:]
    inside = [(each >= 0) & (each < size) for each, size in zip(nearest, sizes, strict=True)]
    indices = [
        each.clamp(0, size - 1).long().to(labels.device, non_blocking=True)
        for each, size in zip(nearest, sizes, strict=True)
    ]
    for row, number in enumerate(chosen.tolist()):
        label = labels[number]
        for axis in range(3):
            label = label.index_select(axis, indices[axis][row])
        z, y, x = (each[row] for each in inside)
        if not (z.all() and y.all() and x.all()):
            label *= (z[:, None, None] & y[:, None] & x).to(labels.device, non_blocking=True)
        labels[number] = label


def _matrices(places: Tensor, *, cubic: Tensor) -> Tensor:
    """(B, size, size) of how much each voxel of the input weighs at each of places (B, size)."""
    size = places.shape[1]
    distances = (places[:, :, None] - torch.arange(size, dtype=torch.float64)).abs()
    linear = (1 - distances).clamp_min(0)
    if not cubic.any():
        return linear
    keys = torch.where(distances < 1, _near(distances), torch.where(distances < 2, _far(distances), 0))
    inside = ((places >= -0.5) & (places <= size - 0.5))[:, :, None]
    keys = torch.where(inside, keys / keys.sum(2, keepdim=True), 0)
    return torch.where(cubic[:, None, None], keys, linear)


def _near(distances: Tensor) -> Tensor:
    return ((_SHARPNESS + 2) * distances - (_SHARPNESS + 3)) * distances**2 + 1


def _far(distances: Tensor) -> Tensor:
    return _SHARPNESS * (((distances - 5) * distances + 8) * distances - 4)
