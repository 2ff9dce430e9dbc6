"""Facts about a case that are found while it is prepared, for lines that a user reads before training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchbench.data.zero_voxels import channels_without_zero, describe_channels, has_no_outside
from benchbench.images.arrays import BitMasks
from benchbench.spec.protocol import Protocol


def present_bits(bits: BitMasks) -> int:
    """Return a number whose bit k is set if region k has a voxel."""
    return int(np.bitwise_or.reduce(bits, axis=None))


def zero_remarks(image: NDArray[Any], channels: Sequence[str], protocol: Protocol) -> Iterator[str]:
    """Yield a line for each setting of the protocol that has no effect, because no voxel of the image is 0."""
    if protocol.intensity == "zscore_nonzero":
        names = channels_without_zero(image, channels)
        if names:
            yield f"{describe_channels(names, channels)}, so zscore_nonzero is the same as zscore"
    effects = []
    if protocol.crop == "nonzero":
        effects.append('crop = "nonzero" removes nothing')
    if protocol.one_hot_foreground:
        effects.append("the channel of one_hot_foreground is 1 everywhere")
    if effects and has_no_outside(image):
        yield f"no voxel is 0, so {' and '.join(effects)}"
