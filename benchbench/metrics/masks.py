"""Masks in few bytes: the box around them, eight voxels a byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def filled_box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box that holds every voxel of a mask; of length 0 where there is none."""
    box: list[slice] = []
    for axis in range(mask.ndim):
        inner = mask[tuple(box)]  # what is cut away already need not be read again
        filled = np.flatnonzero(inner.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(filled[0]), int(filled[-1]) + 1) if len(filled) else slice(0, 0))
    return tuple(box)


def pack(mask: Mask) -> dict[str, Any]:
    """A mask as columns of a table, from which `unpack` makes it anew."""
    box = filled_box(mask)
    return {
        "shape": list(mask.shape),
        "start": [part.start for part in box],
        "stop": [part.stop for part in box],
        "bits": np.packbits(mask[box]).tobytes(),
    }


def unpack(packed: Mapping[str, Any]) -> Mask:
    """The mask that was packed."""
    mask = np.zeros(packed["shape"], dtype=np.bool_)
    box = tuple(slice(*ends) for ends in zip(packed["start"], packed["stop"], strict=True))
    inner = mask[box]
    inner[...] = np.unpackbits(np.frombuffer(packed["bits"], np.uint8), count=inner.size).reshape(inner.shape)
    return mask
