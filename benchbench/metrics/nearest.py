"""Distances from the points of one surface to the nearest points of another.

Most points of a good prediction are a few voxels away from the reference. Where no rounding takes part, as with
voxels of 1 or 0.5 mm, these are looked up in a table of steps on the grid, the shortest first. A search tree finds
the rest, and all points on other grids; a distance is the same number either way.

Written here because a search tree alone takes twice as long, and the distance transforms of DeepMind's
surface-distance four times as long.
"""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import scipy

from benchbench.images.arrays import Floats, Integers, Mask

_RADIUS = 4
"""Longest step in the table, in voxels along the axis of the smallest spacing."""
_FEW = 2000
"""Number of points that a search tree finds sooner than the table."""
_FRACTION = 1024
"""Coordinates and squares of a spacing that is a whole number of such parts of 1 mm are not rounded."""
_LEAF = 32
"""Points in a leaf of the search tree."""

Step = tuple[int, ...]
"""A difference of two places on the grid, along each axis."""


def nearest_distances(grid: Mask, other: Mask, spacing: tuple[float, ...], *, reach: float) -> Floats:
    """Return the distance from each true entry of a grid to the nearest of the other, in the order of `grid`.

    Distances beyond `reach` may be infinite. `other` has at least one true entry.
    """
    is_apart = ~other[grid]
    distances = np.zeros(len(is_apart))
    if is_apart.any():
        places = _places(grid & ~other)
        apart, left = _look_up(places, other, spacing, reach)
        if len(left):
            apart[left] = _search_tree(places[:, left], other, spacing, reach)
        distances[is_apart] = apart
    return distances


def _places(grid: Mask) -> Integers:
    """Return the indices (axes, N) of the grid's true entries, in their order."""
    return np.stack(np.unravel_index(np.flatnonzero(grid), grid.shape))


def _points(places: Integers, spacing: tuple[float, ...]) -> Floats:
    """Return the coordinates (N, axes) of places (axes, N)."""
    coordinates = [indices * size for indices, size in zip(places, spacing, strict=True)]
    return np.stack(coordinates, axis=1)


def _search_tree(places: Integers, other: Mask, spacing: tuple[float, ...], reach: float) -> Floats:
    """Return the distances of places (axes, N) to the nearest true entry; infinity for those beyond `reach`."""
    # splitting at the middle and large leaves are quicker to build than the defaults, and no slower to search
    points = _points(_places(other), spacing)
    tree = scipy.spatial.KDTree(points, leafsize=_LEAF, balanced_tree=False, compact_nodes=False)
    distances: Floats
    distances, _ = tree.query(_points(places, spacing), distance_upper_bound=np.nextafter(reach, np.inf))
    return distances


def _look_up(places: Integers, other: Mask, spacing: tuple[float, ...], reach: float) -> tuple[Floats, Integers]:
    """Return the distances of places (axes, N) by the table, and the numbers of those that are left to the tree.

    The distances of places that are left, and of places beyond `reach`, are infinite.
    """
    distances = np.full(places.shape[1], np.inf)
    left = np.arange(len(distances))
    if len(left) < _FEW:
        return distances, left
    padded = np.ascontiguousarray(np.pad(other, _RADIUS))
    starts = np.ravel_multi_index(tuple(places), padded.shape)  # a place is `_RADIUS` further along each axis
    for length, steps in step_table(spacing).items():
        if length > reach:
            return distances, left[:0]
        if len(left) < _FEW:
            break
        is_hit = np.zeros(len(left), dtype=np.bool_)
        for step in steps:
            shift = int(np.dot(np.add(step, _RADIUS), padded.strides))
            is_hit |= padded.ravel()[shift:][starts]
        distances[left[is_hit]] = length
        left, starts = left[~is_hit], starts[~is_hit]
    return distances, left


@cache
def step_table(spacing: tuple[float, ...]) -> dict[float, list[Step]]:
    """Return the steps of up to `_RADIUS` smallest voxel sides, by their length, from short to long.

    The table is empty if coordinates are rounded: a length would then depend on the place.
    """
    if not all((size * _FRACTION).is_integer() and size < _FRACTION for size in spacing):
        return {}
    by_length: dict[float, list[Step]] = {}
    for step in itertools.product(range(-_RADIUS, _RADIUS + 1), repeat=len(spacing)):
        length = math.sqrt(sum((part * size) ** 2 for part, size in zip(step, spacing, strict=True)))
        by_length.setdefault(length, []).append(step)
    longest = _RADIUS * min(spacing)
    return {length: by_length[length] for length in sorted(by_length) if 0 < length <= longest}
