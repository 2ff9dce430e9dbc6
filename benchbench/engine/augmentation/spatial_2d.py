"""Spatial transforms of slices: all steps of a sample are one matrix, and at most one resampling.

There is a matrix (3, 3) for each sample of the batch. It maps a position in the output, (x, y, 1) in pixels right
of and below the centre of the patch, to the position in the input that appears there. The matrices of successive
steps are therefore multiplied in the order of the steps.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from benchbench.engine.augmentation import samples

_FLIP_X, _FLIP_Y, _TRANSPOSE = 1, 2, 4
_RESAMPLED = 8


def identity_matrices(count: int) -> Tensor:
    """Return matrices (count, 3, 3) that change nothing."""
    return torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)


def scale_matrices(x: Tensor, y: Tensor) -> Tensor:
    """Return matrices (B, 3, 3) that magnify about the centre, by a factor for each axis; -1 flips."""
    matrices = identity_matrices(len(x))
    matrices[:, 0, 0] = 1 / x
    matrices[:, 1, 1] = 1 / y
    return matrices


def rotation_matrices(angle: Tensor) -> Tensor:
    """Return matrices (B, 3, 3) that rotate counter-clockwise, with row 0 at the top, by radians."""
    matrices = identity_matrices(len(angle))
    matrices[:, 0, 0] = matrices[:, 1, 1] = angle.cos()
    matrices[:, 0, 1] = -angle.sin()
    matrices[:, 1, 0] = angle.sin()
    return matrices


def shift_matrices(x: Tensor, y: Tensor) -> Tensor:
    """Return matrices (B, 3, 3) that shift right and down by pixels."""
    matrices = identity_matrices(len(x))
    matrices[:, 0, 2] = -x
    matrices[:, 1, 2] = -y
    return matrices


def transpose_matrices(chosen: Tensor) -> Tensor:
    """Return matrices (B, 3, 3) that swap the axes of the chosen samples."""
    matrices = identity_matrices(len(chosen))
    matrices[chosen] = matrices[chosen][:, (1, 0, 2)]
    return matrices


def transform(images: Tensor, labels: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Return new images (B, C, H, W) and labels (B, H, W), transformed by matrices (B, 3, 3) on the CPU.

    Flips, quarter turns and transpositions keep every value, bit by bit. Other samples are resampled once, images
    linearly and labels by their nearest pixel, with 0 beyond the border.
    """
    new_images = images.new_empty(images.shape)
    new_labels = labels.new_empty(labels.shape)
    across, down = _grid_terms(matrices, images)
    for exact_moves, index in _groups(_exact_moves(matrices), images):
        if exact_moves == _RESAMPLED:
            grid = (across[index] + down[index]).permute(0, 2, 3, 1)
            # the copy is read in order and brings the sample into the cache, before grid_sample reads it out of
            # order
            new_images[index] = _sample(images[index].clone(), grid, "bilinear")
            label_images = labels[index][:, None].to(images.dtype)
            nearest = _sample(label_images, grid, "nearest")
            new_labels[index] = nearest[:, 0].to(labels.dtype)
        else:
            new_images[index] = _move_exactly(images[index], exact_moves)
            new_labels[index] = _move_exactly(labels[index], exact_moves)
    return new_images, new_labels


def _exact_moves(matrices: Tensor) -> Tensor:
    """Return (B,) the sum of the flips and transposition that a matrix consists of, or _RESAMPLED for others."""
    linear = matrices[:, :2, :2]
    offset = matrices[:, :2, 2]
    is_whole = (linear == linear.round()).all(2).all(1)
    has_one_entry_per_row = (linear.abs().sum(2) == 1).all(1)
    is_exact = is_whole & has_one_entry_per_row & (offset == 0).all(1)
    flipped_x, flipped_y = (linear.sum(2) < 0).unbind(1)
    transposed = linear[:, 0, 0] == 0
    moves = flipped_x * _FLIP_X + flipped_y * _FLIP_Y + transposed * _TRANSPOSE
    return torch.where(is_exact, moves, _RESAMPLED)


def _groups(moves: Tensor, images: Tensor) -> list[tuple[int, slice | Tensor]]:
    """Return the values of `moves` (B,), each with the samples that have it; on a CPU with one sample each."""
    groups: list[tuple[int, slice | Tensor]] = []
    if samples.one_at_a_time(images):
        for number, move in enumerate(moves.tolist()):
            groups.append((move, slice(number, number + 1)))
        return groups
    for move in moves.unique().tolist():
        index = (moves == move).nonzero()[:, 0]
        groups.append((move, index.to(images.device, non_blocking=True)))
    return groups


def _move_exactly(values: Tensor, moves: int) -> Tensor:
    axes = []
    if moves & _FLIP_X:
        axes.append(-1)
    if moves & _FLIP_Y:
        axes.append(-2)
    if axes:
        values = values.flip(axes)
    if moves & _TRANSPOSE:
        values = values.mT
    return values


def _sample(images: Tensor, grid: Tensor, mode: str) -> Tensor:
    return functional.grid_sample(images, grid, mode, "zeros", align_corners=False)


def _grid_terms(matrices: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, 2, 1, W) and (B, 2, H, 1), whose sum is the grid: input positions, -1 to 1 between borders.

    A sum, because a matrix product could be computed in TF32, which is coarser than a pixel. In the sum x and y
    are separate pieces of memory, which grid_sample reads faster than pairs.
    """
    height, width = images.shape[-2:]
    half_size = torch.tensor([[width / 2], [height / 2]])
    of_x, of_y, offset = (matrices[:, :2] / half_size).split(1, dim=2)
    across = of_x * _pixels(width) + offset
    down = of_y * _pixels(height)
    across = across.to(images.device, images.dtype, non_blocking=True)
    down = down.to(images.device, images.dtype, non_blocking=True)
    return across[:, :, None, :], down[:, :, :, None]


def _pixels(count: int) -> Tensor:
    """Return (count,) the positions of pixel centres, from the middle of all."""
    return torch.arange(count, dtype=torch.float64) - (count - 1) / 2
