"""Linear maps of volumes that act on each axis separately: one matrix per axis, whatever steps it combines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_BAND_ROWS = 16
"""Rows of a matrix that are multiplied at once on a CPU; few, because the columns they share are mostly zero."""


class Band(NamedTuple):
    """Some rows of a matrix, without the columns that are zero in all of them."""

    rows: slice
    first_column: int
    values: Tensor


def multiply_batch(volumes: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Return volumes (B, C, D, H, W) times matrices (B, D, D), (B, H, H) and (B, W, W), in three batched products.

    Each product takes the last axis and puts its result first, so that only the channels are moved in memory, at
    the end.
    """
    count, channels, *space = volumes.shape
    values = volumes
    for matrix, size in zip(reversed(matrices), reversed(space), strict=True):
        values = torch.bmm(matrix, values.reshape(count, -1, size).mT)
    return values.view(count, *space, channels).permute(0, 4, 1, 2, 3)


def multiply_sample(volumes: Tensor, matrices: Sequence[Tensor]) -> None:
    """Multiply volumes (C, D, H, W) in place by matrices (D, D), (H, H) and (W, W), which are mostly zero.

    It takes a band of rows at a time, which needs only a few columns, and a channel at a time, which the cache
    holds.
    """
    bands_of_axes = [_bands(matrix) for matrix in matrices]
    columns_of_axes = [_used_columns(bands) for bands in bands_of_axes]
    for volume in volumes:
        values = volume[tuple(columns_of_axes)]
        for axis in reversed(range(3)):
            values = _multiply_last_axis(
                values, bands_of_axes[axis], columns_of_axes[axis], size=volume.shape[axis]
            )
        volume.copy_(values.view(volume.shape))


def _multiply_last_axis(values: Tensor, bands: Sequence[Band], columns: slice, *, size: int) -> Tensor:
    """Return values (..., columns) times a matrix of `size` rows, as (size, ...) in two axes."""
    values = values.reshape(-1, columns.stop - columns.start)
    product = values.new_empty(size, len(values))
    for rows, first_column, part in bands:
        start = first_column - columns.start
        used_values = values[:, start : start + part.shape[1]]
        torch.mm(part, used_values.mT, out=product[rows])
    return product


def _bands(matrix: Tensor) -> list[Band]:
    bands = []
    for start in range(0, len(matrix), _BAND_ROWS):
        rows = matrix[start : start + _BAND_ROWS]
        used = rows.any(0).nonzero()[:, 0].tolist() or [0]
        first, last = used[0], used[-1]
        values = rows[:, first : last + 1].contiguous()
        bands.append(Band(slice(start, start + _BAND_ROWS), first, values))
    return bands


def _used_columns(bands: Sequence[Band]) -> slice:
    starts, stops = [], []
    for band in bands:
        starts.append(band.first_column)
        stops.append(band.first_column + band.values.shape[1])
    return slice(min(starts), max(stops))
