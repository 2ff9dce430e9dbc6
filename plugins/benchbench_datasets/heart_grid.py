"""Voxel positions of cardiac phantoms, and the shapes and random fields that are drawn over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchbench.images.arrays import Floats
from benchbench_datasets.smooth_noise import gaussian_bumps, smooth_noise

Numbers = NDArray[Any]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Grid:
    """Voxel positions to posterior, inferior and right, in mm from the middle of an adult's heart.

    The arrays are shaped to broadcast.
    """

    p: Floats
    i: Floats
    r: Floats
    steps_mm: tuple[float, ...]
    """Distance between voxels along each axis of the array."""

    @classmethod
    def of(cls, shape: Sequence[int], *, steps_mm: tuple[float, ...], axes: Floats) -> Grid:
        """Return the grid around the middle of the heart; the columns of `axes` are the directions of its axes."""
        lines = []
        for count, step in zip(shape, steps_mm, strict=True):
            lines.append((np.arange(count) - (count - 1) / 2) * step)
        lengths = np.meshgrid(*lines, indexing="ij", sparse=True)
        p, i, r = (_combined(lengths, row) for row in axes)
        return cls(p=p, i=i, r=r, steps_mm=steps_mm)

    @property
    def shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(self.p.shape, self.i.shape, self.r.shape)

    def part(self, box: tuple[slice, ...]) -> Grid:
        """Return the grid of the voxels in the box."""
        p, i, r = (_cut(positions, box) for positions in (self.p, self.i, self.r))
        return Grid(p=p, i=i, r=r, steps_mm=self.steps_mm)

    def along(self, direction: Floats) -> Floats:
        """Return how far each voxel is from the middle along a direction, times the direction's length."""
        projection: Floats = self.p * direction[0] + self.i * direction[1] + self.r * direction[2]
        return projection

    def tube(self, course: Sequence[Point], *, radius: float) -> Floats:
        """Return the distance from a line through the points of `course`, which is 1 on the tube's surface."""
        nearest = np.full(self.shape, np.inf)
        for start, end in pairwise(np.array(course, float)):
            way = end - start
            share = np.clip((self.along(way) - start @ way) / (way @ way), 0, 1)
            p = self.p - start[0] - share * way[0]
            i = self.i - start[1] - share * way[1]
            r = self.r - start[2] - share * way[2]
            nearest = np.minimum(nearest, p * p + i * i + r * r)
        distance: Floats = np.sqrt(nearest) / radius
        return distance

    def field(self, rng: Generator, *, width_mm: float) -> Floats:
        """Return smooth noise of mean 0 and SD 1 that changes over `width_mm`, but not within a voxel."""
        bases = []
        for count, step in zip(self.shape, self.steps_mm, strict=True):
            bases.append(gaussian_bumps(np.arange(count), width=max(width_mm / step, 1.0), end=count))
        return smooth_noise(rng, bases)


def _combined(lengths: Sequence[Floats], weights: Floats) -> Floats:
    """Return the weighted sum; without a length of weight 0, so that the sum broadcasts over its axis."""
    pairs = zip(lengths, weights, strict=True)
    return np.asarray(sum(length * weight for length, weight in pairs if weight))


def _cut(positions: Floats, box: tuple[slice, ...]) -> Floats:
    """Return the part of the positions in the box; an axis of length 1 is broadcast and stays whole."""
    cuts = list(box)
    for axis, count in enumerate(positions.shape):
        if count == 1:
            cuts[axis] = slice(None)
    return positions[tuple(cuts)]
