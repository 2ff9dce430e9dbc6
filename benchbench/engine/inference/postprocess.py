"""From probabilities to masks, by the post-processing rules of the protocol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from benchbench.images.arrays import Box, Floats, Integers, Mask, bounding_box
from benchbench.spec.inference import Postprocess

THRESHOLD = 0.5
"""Threshold of a region for which the protocol has none."""

Probabilities = NDArray[np.float32]


class Components(NamedTuple):
    """The components of a mask, connected face to face; entry 0 of `sizes` and `sums` is the outside."""

    labels: NDArray[np.int32]
    """Number of each voxel's component (*box), 0 outside."""
    box: Box
    """The box of the mask that `labels` covers."""
    sizes: Integers
    """Number of voxels of each component."""
    sums: Floats
    """Sum of the probabilities in each component."""


def decide(probabilities: Probabilities, rules: Postprocess, *, regions: Iterable[str]) -> Mask:
    """Return the mask of each region (K, *space) for probabilities (K, *space), in the task's order of regions."""
    masks = np.empty(probabilities.shape, dtype=np.bool_)
    for number, (region, values) in enumerate(zip(regions, probabilities, strict=True)):
        mask = masks[number]
        threshold = rules.thresholds.get(region, THRESHOLD)
        # float32 like the probabilities: 0.4 in float64 is less than 0.4 in float32
        np.greater_equal(values, np.float32(threshold), out=mask)
        if rules.nested and number:
            np.logical_and(mask, masks[number - 1], out=mask)
        if rules.components.get(region, 0):
            _remove_components(mask, values, smaller=rules.components[region], sure=rules.sure)
        if rules.totals.get(region, 0):
            _remove_all(mask, values, smaller=rules.totals[region], sure=rules.sure)
    return masks


def find_components(mask: Mask, probabilities: Probabilities) -> Components:
    """Return the components of a mask (*space) with the sums of its region's probabilities (*space)."""
    box = bounding_box(mask)
    inside = mask[box]
    labels, count = scipy.ndimage.label(inside)
    numbers = labels[inside]
    sizes = np.bincount(numbers, minlength=count + 1)
    sums = np.bincount(numbers, weights=probabilities[box][inside], minlength=count + 1)
    return Components(labels, box, sizes, sums.astype(np.float64))


def are_doubtful(sizes: Integers, sums: Floats, *, smaller: int, sure: float) -> Mask:
    """Return True for components with 1 to `smaller` - 1 voxels and a mean probability below `sure`."""
    is_small = (sizes > 0) & (sizes < smaller)
    is_unsure = sums < float(np.float32(sure)) * sizes
    return is_small & is_unsure


def _remove_components(mask: Mask, probabilities: Probabilities, *, smaller: int, sure: float) -> None:
    components = find_components(mask, probabilities)
    doubtful = are_doubtful(components.sizes, components.sums, smaller=smaller, sure=sure)
    mask[components.box] &= ~doubtful[components.labels]


def _remove_all(mask: Mask, probabilities: Probabilities, *, smaller: int, sure: float) -> None:
    size = np.count_nonzero(mask)
    if size < smaller:
        total = probabilities[mask].sum(dtype=np.float64)
        mask &= ~are_doubtful(np.array(size), np.array(total), smaller=smaller, sure=sure)
