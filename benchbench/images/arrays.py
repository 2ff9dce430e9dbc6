"""The array types that the packages share, and the two properties of voxels that several of them need."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
"""True where a voxel belongs to a region."""
BitMasks = NDArray[np.uint8]
"""The regions of each voxel as bits of one number: bit k is set where region k of the task is.

An ignored voxel has the value `IGNORED` and is in no region.
"""
MOST_REGIONS = 8
"""Number of regions that a bit mask has room for; one less for a task with ignored voxels."""
IGNORED = 128
"""Value of an ignored voxel in a bit mask."""
Box = tuple[slice, ...]
"""A slice for each axis."""


def scored_mask(bits: BitMasks, *, regions: int) -> Mask:
    """Return a mask that is False in the ignored voxels of bit masks of some number of regions."""
    if regions == MOST_REGIONS:  # their bits leave none for ignored voxels
        return np.ones(bits.shape, dtype=np.bool_)
    return bits < IGNORED


def bounding_box(mask: Mask) -> Box:
    """Return the smallest box that holds every voxel of a mask; its slices are empty where the mask is."""
    box = [slice(None)] * mask.ndim
    # The axis of the largest stride first: that pass reads all of the mask and reads it in the order of memory.
    for axis in np.argsort(np.abs(mask.strides))[::-1].tolist():
        inner = mask[tuple(box)]  # the passes before have cut this down
        others = tuple(other for other in range(mask.ndim) if other != axis)
        filled = np.flatnonzero(inner.any(axis=others))
        box[axis] = slice(int(filled[0]), int(filled[-1]) + 1) if len(filled) else slice(0, 0)
    return tuple(box)


def voxel_digest(image: NDArray[Any]) -> str:
    """Return the SHA-256 of an image's type, shape and voxels; the names of its files do not matter."""
    image = np.ascontiguousarray(image)
    digest = hashlib.sha256(f"{image.dtype.str} {image.shape}".encode())
    digest.update(image.data)
    return digest.hexdigest()
