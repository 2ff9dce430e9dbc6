"""Linear maps of volumes that act on each axis by itself: a matrix an axis, whatever they do together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_BAND = 16
"""Rows of a matrix multiplied at once on a CPU: few, since what they have in common is mostly zeros."""


class Band(NamedTuple):
    """Some rows of a matrix, and the columns that are not all zeros in them."""

    rows: slice
    first: int
    values: Tensor


def multiply_all(volumes: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Volumes (B, C, D, H, W) by matrices (B, D, D), (B, H, H) and (B, W, W), in three batched products.

    Each product takes the last axis and leaves its result in front, so that no axis is ever moved in memory but
    the channels, in the end.
    """
    count, channels, *space = volumes.shape
    values = volumes
    for matrix, size in zip(reversed(matrices), reversed(space), strict=True):
        values = torch.bmm(matrix, values.reshape(count, -1, size).mT)
    return values.view(count, *space, channels).permute(0, 4, 1, 2, 3)


def multiply_one(volumes: Tensor, matrices: Sequence[Tensor]) -> None:
    """Changes volumes (C, D, H, W) in place, by matrices (D, D), (H, H) and (W, W) that are mostly zeros.

    Some rows at a time, which need a few columns only, and a channel at a time, which the cache holds.
    """
    bands = [_bands(matrix) for matrix in matrices]
    needed = [_columns(each) for each in bands]
    for volume in volumes:
        values = volume[tuple(needed)]
        for size, each, columns in zip(reversed(volume.shape), reversed(bands), reversed(needed), strict=True):
            values = values.reshape(-1, columns.stop - columns.start)
            product = values.new_empty(size, len(values))
            for rows, first, part in each:
                start = first - columns.start
                torch.mm(part, values[:, start : start + part.shape[1]].mT, out=product[rows])
            values = product
        volume.copy_(values.view(volume.shape))


def _bands(matrix: Tensor) -> list[Band]:
    bands = []
    for start in range(0, len(matrix), _BAND):
        rows = matrix[start : start + _BAND]
        used = rows.any(0).nonzero()[:, 0].tolist() or [0]
        bands.append(Band(slice(start, start + _BAND), used[0], rows[:, used[0] : used[-1] + 1].contiguous()))
    return bands


def _columns(bands: Sequence[Band]) -> slice:
    return slice(min(band.first for band in bands), max(band.first + band.values.shape[1] for band in bands))
