"""Masks in few bytes: the box around them, eight voxels a byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchbench.images.arrays import Mask, bounding_box


def pack(mask: Mask) -> dict[str, Any]:
    """A mask as columns of a table, from which `unpack` makes it anew."""
    box = bounding_box(mask)
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
