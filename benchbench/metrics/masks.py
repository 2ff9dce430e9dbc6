"""Masks in a compact form: the bounding box, with eight voxels per byte."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchbench.images.arrays import Mask, bounding_box

_MOST_VOXELS = 2**34  # far more than any image has


def pack(mask: Mask) -> dict[str, Any]:
    """Return a mask as columns of a table, which `unpack` turns back into the mask."""
    box = bounding_box(mask)
    return {
        "shape": list(mask.shape),
        "start": [part.start for part in box],
        "stop": [part.stop for part in box],
        "bits": np.packbits(mask[box]).tobytes(),
    }


def unpack(packed: Mapping[str, Any]) -> Mask:
    """Return the mask that was packed.

    Raises:
        ValueError: the columns contradict each other.
    """
    shape, starts, stops = packed["shape"], packed["start"], packed["stop"]
    if not len(shape) == len(starts) == len(stops) or math.prod(shape) > _MOST_VOXELS:
        raise ValueError(f"found a mask of shape {shape} with a box from {starts} to {stops}")
    for size, start, stop in zip(shape, starts, stops, strict=True):
        if not 0 <= start <= stop <= size:
            raise ValueError(f"found a mask of shape {shape} with a box from {starts} to {stops}")
    mask = np.zeros(shape, dtype=np.bool_)
    box = tuple(slice(*ends) for ends in zip(starts, stops, strict=True))
    inner = mask[box]
    packed_bytes = np.frombuffer(packed["bits"], np.uint8)
    if len(packed_bytes) != -(-inner.size // 8):
        raise ValueError(f"found {len(packed_bytes)} bytes for {inner.size} voxels")
    inner[...] = np.unpackbits(packed_bytes, count=inner.size).reshape(inner.shape)
    return mask
