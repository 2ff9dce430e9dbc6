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
"""The regions of each voxel as bits of one number: bit k is set where region k of the task is."""
Box = tuple[slice, ...]
"""A slice for each axis."""


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
