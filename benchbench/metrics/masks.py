"""Masks in a compact form: the bounding box, with eight voxels per byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchbench.images.arrays import Mask, bounding_box


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
    """Return the mask that was packed."""
    mask = np.zeros(packed["shape"], dtype=np.bool_)
    box = tuple(slice(*ends) for ends in zip(packed["start"], packed["stop"], strict=True))
    inner = mask[box]
    packed_bytes = np.frombuffer(packed["bits"], np.uint8)
    inner[...] = np.unpackbits(packed_bytes, count=inner.size).reshape(inner.shape)
    return mask
