"""Finds labels that lie mirrored to their image although both claim the same grid.

The edge of a true label follows edges of the image; that of a mirrored one only where anatomy is symmetrical.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchbench.contract import Case
from benchbench.images.arrays import Mask

CLEAR = 0.6
"""Contrast across a label's edge, in standard deviations, that a mirrored label must show to be believed."""
RATIO = 3.0
"""How many times the contrast that it has as it is."""


def mirrored_axes(case: Case) -> list[int]:
    """The array axes along which the label, mirrored, fits the image far better than it does as it is."""
    label = case.label > 0
    if not label.any() or label.all():
        return []
    as_it_is = _contrast(case.image, label)
    found = []
    for axis in range(label.ndim):
        mirrored = _contrast(case.image, np.flip(label, axis))
        if mirrored > CLEAR and mirrored > RATIO * as_it_is:
            found.append(axis)
    return found


def _contrast(image: NDArray[np.generic], label: Mask) -> float:
    """Difference of the means within and without the label's edge, in SDs, of the channel that shows it best."""
    found = ndimage.find_objects(label.astype(np.uint8))[0]
    box = tuple(slice(max(0, part.start - 3), part.stop + 3) for part in found)
    inside = label[box]
    inner = inside & ~ndimage.binary_erosion(inside, iterations=2)
    outer = ndimage.binary_dilation(inside, iterations=2) & ~inside
    if not inner.any() or not outer.any():
        return 0.0
    return max(_separation(channel[box], inner, outer) for channel in image)


def _separation(channel: NDArray[np.generic], inner: Mask, outer: Mask) -> float:
    within, without = channel[inner].astype(np.float64), channel[outer].astype(np.float64)
    spread = float(np.sqrt((within.var() + without.var()) / 2))
    return abs(float(within.mean() - without.mean())) / spread if spread > 0 else 0.0
