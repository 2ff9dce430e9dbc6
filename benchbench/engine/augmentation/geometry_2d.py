"""Moving a batch: the whole geometry of a sample is one matrix, and one resampling at most.

A matrix is (3, 3), one for each sample of the batch. It takes a place of the output, as (x, y, 1) in pixels right
of and below the patch's centre, to the place of the input that is seen there. Matrices of successive steps are
therefore multiplied in the order of the steps.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_MIRROR_X, _MIRROR_Y, _TRANSPOSE = 1, 2, 4
_RESAMPLED = 8


def zooming(x: Tensor, y: Tensor) -> Tensor:
    """(B, 3, 3) that magnify what is seen about the centre, by a factor for each axis; -1 mirrors."""
    matrices = identity(len(x))
    matrices[:, 0, 0], matrices[:, 1, 1] = 1 / x, 1 / y
    return matrices


def turning(angle: Tensor) -> Tensor:
    """(B, 3, 3) that turn what is seen counter-clockwise, row 0 on top, by radians."""
    matrices = identity(len(angle))
    matrices[:, 0, 0], matrices[:, 0, 1] = angle.cos(), -angle.sin()
    matrices[:, 1, 0], matrices[:, 1, 1] = angle.sin(), angle.cos()
    return matrices


def shifting(x: Tensor, y: Tensor) -> Tensor:
    """(B, 3, 3) that move what is seen right and down by pixels."""
    matrices = identity(len(x))
    matrices[:, 0, 2], matrices[:, 1, 2] = -x, -y
    return matrices


def transposing(chosen: Tensor) -> Tensor:
    """(B, 3, 3) that swap the axes of the chosen samples."""
    matrices = identity(len(chosen))
    matrices[chosen] = matrices[chosen][:, (1, 0, 2)]
    return matrices


def identity(count: int) -> Tensor:
    """(count, 3, 3) that move nothing."""
    return torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)


def move(images: Tensor, labels: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor]:
    """New images (B, C, H, W) and labels (B, H, W), moved by matrices (B, 3, 3) on the CPU.

    Mirrored, quarter-turned and transposed samples keep every value, bit by bit. The others are resampled
    once, images linearly and labels by their nearest pixel, with 0 beyond the border.
    """
    moved, moved_labels = images.new_empty(images.shape), labels.new_empty(labels.shape)
    across, down = _grid_terms(matrices, images)
    for element, index in _groups(_elements(matrices), images):
        if element == _RESAMPLED:
            grid = (across[index] + down[index]).permute(0, 2, 3, 1)
            # a copy is read in order, which brings the sample into the cache before it is read all over
            moved[index] = _sample(images[index].clone(), grid, "bilinear")
            nearest = _sample(labels[index][:, None].to(images.dtype), grid, "nearest")
            moved_labels[index] = nearest[:, 0].to(labels.dtype)
        else:
            moved[index], moved_labels[index] = _turn(images[index], element), _turn(labels[index], element)
    return moved, moved_labels


def one_by_one(images: Tensor) -> bool:
    """Whether samples are better changed one after the other: a CPU's cache holds one, a GPU wants them all."""
    return bool(images.device.type == "cpu")


def _elements(matrices: Tensor) -> Tensor:
    """(B,) sum of the exact moves that a matrix consists of, or _RESAMPLED where there is more to it."""
    linear, offset = matrices[:, :2, :2], matrices[:, :2, 2]
    exact = (linear == linear.round()).all(2).all(1) & (linear.abs().sum(2) == 1).all(1) & (offset == 0).all(1)
    mirrored = linear.sum(2) < 0
    transposed = linear[:, 0, 0] == 0
    element = mirrored[:, 0] * _MIRROR_X + mirrored[:, 1] * _MIRROR_Y + transposed * _TRANSPOSE
    return torch.where(exact, element, _RESAMPLED)


def _groups(elements: Tensor, images: Tensor) -> list[tuple[int, slice | Tensor]]:
    """Each element that occurs, with the samples it is to be applied to."""
    if one_by_one(images):
        return [(element, slice(number, number + 1)) for number, element in enumerate(elements.tolist())]
    return [
        (element, (elements == element).nonzero()[:, 0].to(images.device, non_blocking=True))
        for element in elements.unique().tolist()
    ]


def _turn(values: Tensor, element: int) -> Tensor:
    axes = [axis for axis, bit in ((-1, _MIRROR_X), (-2, _MIRROR_Y)) if element & bit]
    turned = values.flip(axes) if axes else values
    return turned.mT if element & _TRANSPOSE else turned


def _sample(images: Tensor, grid: Tensor, mode: str) -> Tensor:
    return functional.grid_sample(images, grid, mode, "zeros", align_corners=False)


def _grid_terms(matrices: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 2, 1, W) and (B, 2, H, 1), whose sum are the places seen, x and y from -1 to 1 between the borders.

    A sum and not a matrix product, which could be computed in TF32, coarser than a pixel. It has x and y each
    in one piece of memory, which grid_sample reads faster than pairs.
    """
    height, width = images.shape[-2:]
    matrices = matrices[:, :2] / torch.tensor([[width / 2], [height / 2]])
    across = matrices[:, :, :1] * _pixels(width) + matrices[:, :, 2:]
    down = matrices[:, :, 1:2] * _pixels(height)
    across, down = (term.to(images.device, images.dtype, non_blocking=True) for term in (across, down))
    return across[:, :, None, :], down[:, :, :, None]


def _pixels(count: int) -> Tensor:
    """(count,) places of pixel centres from the middle of them all."""
    return torch.arange(count, dtype=torch.float64) - (count - 1) / 2
