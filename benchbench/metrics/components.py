"""The connected components of a volume, such as the lesions of a region.

Voxels that follow each other along the last axis are a run. Runs are connected in place of voxels: a mask of
lesions has few, and empty space takes next to no time. SciPy connects the voxels of a mask that is mostly noise,
which has many runs.

Written here because SciPy's `label` and `find_objects` pass over all voxels several times, and take three to four
times as long for a mask of lesions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from benchbench.images.arrays import Box, Integers, Mask

_NEIGHBOURS = np.ones((3, 3, 3), dtype=np.bool_)
_LEAST_VOXELS = 16
"""Voxels of the volume for each run from which on runs are faster than voxels."""


class Components(NamedTuple):
    """The components of a volume, numbered by their first voxels in the order of the axes."""

    labels: NDArray[np.int32]
    """The number of the component that each voxel is in, from 1; 0 outside of all."""
    boxes: list[Box]
    """The smallest box around each component, in the order of their numbers."""


class _Runs(NamedTuple):
    """The runs of a padded volume, as positions in its memory."""

    starts: Integers
    ends: Integers
    """The position after the last voxel of each run."""


def find_components(mask: Mask) -> Components:
    """Return the components of a mask (X, Y, Z); voxels are connected over faces, edges and corners."""
    # a line of zeros before each plane and a zero before each line: runs end there, and have no neighbours beyond
    padded = np.zeros([size + 1 for size in mask.shape], dtype=np.bool_)
    padded[:-1, 1:, 1:] = mask
    voxels = padded.ravel()
    changes = np.flatnonzero(voxels[1:] != voxels[:-1]) + 1
    runs = _Runs(changes[::2], changes[1::2])
    if len(runs.starts) * _LEAST_VOXELS > mask.size:
        labels, count = scipy.ndimage.label(mask, _NEIGHBOURS)
        return Components(labels, scipy.ndimage.find_objects(labels, count))
    component_of = _connect(runs, padded.shape)
    numbers = np.zeros(padded.shape, dtype=np.int32)
    numbers[padded] = np.repeat(component_of + 1, runs.ends - runs.starts)
    return Components(numbers[:-1, 1:, 1:], _boxes(runs, component_of, padded.shape))


def _connect(runs: _Runs, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Return the component of each run, counted from 0 in the order of the runs."""
    line = shape[2]
    plane = shape[1] * line
    # a run is compared with half of the lines around it, and those of the other half with it
    pairs = [_touching(runs, shift) for shift in (line, plane - line, plane, plane + line)]
    ones, others = np.concatenate(pairs, axis=1)
    count = len(runs.starts)
    graph = scipy.sparse.coo_array((np.ones(len(ones), np.bool_), (ones, others)), shape=(count, count))
    component_of: NDArray[np.int32]
    _, component_of = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return component_of


def _touching(runs: _Runs, shift: int) -> Integers:
    """Return the numbers (2, N) of runs that touch: one of any line, and one of the line that a shift leads to."""
    first = np.searchsorted(runs.ends, runs.starts + shift, side="left")
    stop = np.searchsorted(runs.starts, runs.ends + shift, side="right")
    counts = stop - first
    ones = np.repeat(np.arange(len(counts)), counts)
    places = np.arange(len(ones)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([ones, first[ones] + places])


def _boxes(runs: _Runs, component_of: NDArray[np.int32], shape: tuple[int, ...]) -> list[Box]:
    """Return the smallest box around each component, without the padding."""
    if not len(component_of):
        return []
    planes, lines, columns = np.unravel_index(runs.starts, shape)
    starts = np.stack([planes, lines - 1, columns - 1])
    stops = starts + 1
    stops[2] += runs.ends - runs.starts - 1
    order = np.argsort(component_of, kind="stable")
    first = np.flatnonzero(np.diff(component_of[order], prepend=-1))
    lowest = np.minimum.reduceat(starts[:, order], first, axis=1)
    highest = np.maximum.reduceat(stops[:, order], first, axis=1)
    boxes: list[Box] = []
    for corner, end in zip(lowest.T.tolist(), highest.T.tolist(), strict=True):
        boxes.append(tuple(map(slice, corner, end)))
    return boxes
