"""Finds labels that are mirrored relative to their image although both claim the same grid.

The edge of a correct label follows edges of the image; the edge of a mirrored label does so only in symmetric
anatomy.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from benchbench.contract import Case
from benchbench.images.arrays import Mask, bounding_box

_LEAST_CONTRAST = 0.6
"""Contrast across the edge of the mirrored label, in standard deviations, below which it is not reported."""
_LEAST_RATIO = 3.0
"""Ratio of the contrasts with and without mirroring below which it is not reported."""
_EDGE = 2
"""Width of the edge inside and outside the label, in voxels."""


def mirrored_axes(case: Case) -> list[int]:
    """Return the array axes along which the mirrored label fits the image far better than the stored one."""
    label = case.label > 0
    if not label.any() or label.all():
        return []
    stored = _contrast(case.image, label)
    axes: list[int] = []
    for axis in range(label.ndim):
        mirrored = _contrast(case.image, np.flip(label, axis))
        if mirrored > _LEAST_CONTRAST and mirrored > _LEAST_RATIO * stored:
            axes.append(axis)
    return axes


def _contrast(image: NDArray[np.generic], label: Mask) -> float:
    """Return the largest difference of any channel between inside and outside the label's edge, in SDs."""
    margin = _EDGE + 1
    box = tuple(slice(max(0, part.start - margin), part.stop + margin) for part in bounding_box(label))
    inside = label[box]
    inner = inside & ~scipy.ndimage.binary_erosion(inside, iterations=_EDGE)
    outer = scipy.ndimage.binary_dilation(inside, iterations=_EDGE) & ~inside
    if not inner.any() or not outer.any():
        return 0.0
    return max(_separation(channel[box], inner, outer) for channel in image)


def _separation(channel: NDArray[np.generic], inner: Mask, outer: Mask) -> float:
    inside, outside = channel[inner].astype(np.float64), channel[outer].astype(np.float64)
    spread = float(np.sqrt((inside.var() + outside.var()) / 2))
    if spread == 0:
        return 0.0
    return abs(float(inside.mean() - outside.mean())) / spread
