"""The zones around lesions, which decide what counts as one lesion and what touches it.

Written here because SciPy's dilation of a volume takes ten times as long.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchbench.images.arrays import Mask
from benchbench.metrics.components import Components, find_components

_Bits = NDArray[np.uint8]
"""Eight voxels of the last axis in a byte, the first in its lowest bit."""


def find_zones(reference: Mask, *, dilation: int) -> Components:
    """Return the zones of the lesions of a volume, which are as many; lesions whose zones touch are one."""
    return find_components(dilate(reference, times=dilation))


def dilate(mask: Mask, *, times: int) -> Mask:
    """Return a mask (*volume) grown by its neighbours over faces and edges, several times."""
    bits = np.packbits(mask, axis=2, bitorder="little")
    for _ in range(times):
        along_first, along_second = _grow(bits, 0), _grow(bits, 1)
        in_plane = _grow(along_first, 1)
        bits = in_plane | _grow_bits(along_first | along_second)
    return np.unpackbits(bits, axis=2, count=mask.shape[2], bitorder="little").view(np.bool_)


def _grow(bits: _Bits, axis: int) -> _Bits:
    """Return bits grown by one voxel along the first or the second axis."""
    grown = bits.copy()
    ahead, behind = np.moveaxis(grown, axis, 0), np.moveaxis(bits, axis, 0)
    ahead[1:] |= behind[:-1]
    ahead[:-1] |= behind[1:]
    return grown


def _grow_bits(bits: _Bits) -> _Bits:
    """Return bits grown by one voxel along the last axis, also from a byte to the next."""
    grown = bits.copy()
    grown |= bits << 1
    grown |= bits >> 1
    grown[..., 1:] |= bits[..., :-1] >> 7
    grown[..., :-1] |= bits[..., 1:] << 7
    return grown
