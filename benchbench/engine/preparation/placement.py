"""Resize and pad: slices of any size in a patch, scaled by one factor and then padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from benchbench.images.arrays import BitMasks


class Placement(NamedTuple):
    """The position of a slice in the patch, in pixels along rows and columns."""

    native: tuple[int, int]
    """Size of the slice as stored."""
    scaled: tuple[int, int]
    """Size of the slice after scaling."""
    offset: tuple[int, int]
    """First row and column of the scaled slice in the patch."""


def place(native: Sequence[int], patch: Sequence[int]) -> Placement:
    """Return the placement of a slice at the largest size that fits the patch and keeps its aspect, centred."""
    native_height, native_width = native
    patch_height, patch_width = patch
    factor = min(patch_height / native_height, patch_width / native_width)
    height = min(patch_height, max(1, round(native_height * factor)))
    width = min(patch_width, max(1, round(native_width * factor)))
    top = (patch_height - height) // 2
    left = (patch_width - width) // 2
    return Placement((native_height, native_width), (height, width), (top, left))


def resize_image(slices: NDArray[Any], placement: Placement, patch: Sequence[int]) -> NDArray[Any]:
    """Return slices (S, C, H, W) as (S, C, *patch): averaged where they shrink, else linear; padded with 0."""
    shrinks = placement.scaled[0] < placement.native[0]
    return _resize(slices, placement, patch, method=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def resize_label(bits: BitMasks, placement: Placement, patch: Sequence[int]) -> BitMasks:
    """Return bit masks (S, H, W) as (S, *patch): each pixel takes its nearest neighbour; padded with 0."""
    resized = _resize(bits[:, None], placement, patch, method=cv2.INTER_NEAREST_EXACT)
    return resized[:, 0]


def _resize(slices: NDArray[Any], placement: Placement, patch: Sequence[int], *, method: int) -> NDArray[Any]:
    if placement.native == tuple(patch):
        return np.ascontiguousarray(slices)
    height, width = placement.scaled
    top, left = placement.offset
    resized = np.zeros((*slices.shape[:2], *patch), dtype=slices.dtype)
    for number, slice_ in enumerate(slices):
        for channel, plane in enumerate(slice_):
            if plane.dtype == np.float16:
                plane = plane.astype(np.float32)  # noqa: PLW2901 OpenCV has no float16
            target = resized[number, channel, top : top + height, left : left + width]
            target[...] = cv2.resize(plane, (width, height), interpolation=method)
    return resized
