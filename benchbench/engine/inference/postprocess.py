"""From probabilities to masks, by the rules of the protocol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchbench.images.arrays import Box, Floats, Integers, Mask, bounding_box
from benchbench.spec.inference import Postprocess

THRESHOLD = 0.5
"""Of a region for which the protocol gives none."""

Probabilities = NDArray[np.float32]


class Components(NamedTuple):
    """What a mask consists of, face to face; entry 0 of the arrays is what is outside."""

    labels: NDArray[np.int32]
    """(*space) of a box of the mask, 0 outside."""
    box: Box
    sizes: Integers
    sums: Floats
    """Of the probabilities."""


def decide(probabilities: Probabilities, rules: Postprocess, *, regions: Iterable[str]) -> Mask:
    """One mask a region (K, *space) for probabilities (K, *space) of the regions in the task's order."""
    masks = np.empty(probabilities.shape, dtype=np.bool_)
    for number, (region, own) in enumerate(zip(regions, probabilities, strict=True)):
        mask = masks[number]
        # a threshold of the same kind: 0.4 in float64 is less than 0.4 in float32
        np.greater_equal(own, np.float32(rules.thresholds.get(region, THRESHOLD)), out=mask)
        if rules.nested and number:
            np.logical_and(mask, masks[number - 1], out=mask)
        if rules.components.get(region, 0):
            _remove_components(mask, own, smaller=rules.components[region], sure=rules.sure)
        if rules.totals.get(region, 0):
            _remove_all(mask, own, smaller=rules.totals[region], sure=rules.sure)
    return masks


def find_components(mask: Mask, probabilities: Probabilities) -> Components:
    """The components of a mask (*space), with the sums of its region's probabilities (*space)."""
    box = bounding_box(mask)
    inside = mask[box]
    labels, count = ndimage.label(inside)
    found = labels[inside]
    sums: Floats = np.bincount(found, weights=probabilities[box][inside], minlength=count + 1).astype(np.float64)
    return Components(labels, box, np.bincount(found, minlength=count + 1), sums)


def are_doubtful(sizes: Integers, sums: Floats, *, smaller: int, sure: float) -> Mask:
    """Which parts have voxels, fewer than `smaller`, and a mean probability below `sure`."""
    return (sizes > 0) & (sizes < smaller) & (sums < float(np.float32(sure)) * sizes)


def _remove_components(mask: Mask, probabilities: Probabilities, *, smaller: int, sure: float) -> None:
    parts = find_components(mask, probabilities)
    doubtful = are_doubtful(parts.sizes, parts.sums, smaller=smaller, sure=sure)
    mask[parts.box] &= ~doubtful[parts.labels]


def _remove_all(mask: Mask, probabilities: Probabilities, *, smaller: int, sure: float) -> None:
    size = np.count_nonzero(mask)
    if size < smaller:
        total = probabilities[mask].sum(dtype=np.float64)
        mask &= ~are_doubtful(np.array(size), np.array(total), smaller=smaller, sure=sure)
