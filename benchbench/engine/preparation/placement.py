"""Slices of any size in a patch of one: scaled by one factor, then padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from benchbench.images.arrays import BitMasks


class Placement(NamedTuple):
    """Where a slice lies in the patch: scaled by one factor to fit, then centred."""

    native: tuple[int, int]
    scaled: tuple[int, int]
    offset: tuple[int, int]


def place(native: Sequence[int], patch: Sequence[int]) -> Placement:
    """The largest size of the slice's own aspect that fits the patch, centred."""
    factor = min(patch[0] / native[0], patch[1] / native[1])
    height, width = (min(patch[axis], max(1, round(native[axis] * factor))) for axis in (0, 1))
    offset = ((patch[0] - height) // 2, (patch[1] - width) // 2)
    return Placement((native[0], native[1]), (height, width), offset)


def fit_image(slices: NDArray[Any], placement: Placement, patch: Sequence[int]) -> NDArray[Any]:
    """(S, C, H, W) -> (S, C, *patch), averaged where it shrinks, linear where it grows, zeros around."""
    shrinks = placement.scaled[0] < placement.native[0]
    return _fit(slices, placement, patch, method=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def fit_label(bits: BitMasks, placement: Placement, patch: Sequence[int]) -> BitMasks:
    """(S, H, W) -> (S, *patch), by the nearest pixel, zeros around."""
    return _fit(bits[:, None], placement, patch, method=cv2.INTER_NEAREST_EXACT)[:, 0]


def _fit(slices: NDArray[Any], placement: Placement, patch: Sequence[int], *, method: int) -> NDArray[Any]:
    if placement.native == tuple(patch):
        return np.ascontiguousarray(slices)
    height, width = placement.scaled
    top, left = placement.offset
    fitted = np.zeros((*slices.shape[:2], *patch), dtype=slices.dtype)
    for number, slice_ in enumerate(slices):
        for channel, plane in enumerate(slice_):
            source = plane.astype(np.float32) if plane.dtype == np.float16 else plane  # OpenCV knows no float16
            resized = cv2.resize(source, (width, height), interpolation=method)
            fitted[number, channel, top : top + height, left : left + width] = resized
    return fitted
