"""Finds images without zeros: some settings take voxels that are 0 for the outside of the body."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchbench.images.arrays import Mask


def channels_without_zero(image: NDArray[Any], channels: Sequence[str]) -> list[str]:
    """Return the channels of an image (C, *space) of which no voxel is 0."""
    names = []
    for name, channel in zip(channels, image, strict=True):
        if np.count_nonzero(channel) == channel.size:
            names.append(name)
    return names


def has_no_outside(image: NDArray[Any]) -> bool:
    """Return True if every voxel of an image (C, *space) is other than 0 in some channel."""
    inside: Mask = image[0] != 0
    for channel in image[1:]:
        inside |= channel != 0
    return bool(inside.all())


def describe_channels(names: Sequence[str], channels: Sequence[str]) -> str:
    """Return the start of a sentence about channels without a zero: of the whole image, or of some channels."""
    if len(names) == len(channels):
        return "no voxel is 0"
    return f"no voxel is 0 in channel {', '.join(names)}"
