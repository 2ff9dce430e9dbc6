"""The surface of a mask, in the two ways it is defined: as voxels, and as elements of area between voxels.

Masks are boolean, of two or three axes; what lies outside the array is background.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from benchbench.images.arrays import Floats, Mask

Corner = tuple[int, ...]


class Surface(NamedTuple):
    """The places of a surface on a grid, and how much of it lies at each."""

    grid: Mask
    """Where there is surface."""
    weights: Floats
    """Of each place, in the order of `grid`'s true entries."""


def voxel_surface(mask: Mask) -> Surface:
    """The voxels of the mask that have a face neighbour outside it, each of weight 1."""
    core = mask.copy()
    for axis in range(mask.ndim):
        ahead, behind = _along(axis, slice(1, None)), _along(axis, slice(None, -1))
        core[ahead] &= mask[behind]
        core[behind] &= mask[ahead]
        core[_along(axis, 0)] = core[_along(axis, -1)] = False
    shell = mask ^ core
    return Surface(shell, np.ones(np.count_nonzero(shell)))


def element_surface(mask: Mask, spacing: tuple[float, ...]) -> Surface:
    """The corners between voxels that the surface passes, each weighted with the area of surface around it.

    The grid is that of the corners, one longer than the mask along each axis. Around a corner lie 2 x 2 x 2
    voxels; the surface among them is that of marching cubes through the midpoints of the edges between inside and
    outside. In two dimensions lengths of contour take the place of areas.

    Source: the surface elements of Nikolov et al. 2021, doi:10.2196/26151.
    """
    codes = np.pad(mask, 1).view(np.uint8)
    for axis in range(mask.ndim):
        ahead, behind = _along(axis, slice(1, None)), _along(axis, slice(None, -1))
        codes = codes[behind] | (codes[ahead] << (1 << axis))
    full = (1 << (1 << mask.ndim)) - 1
    grid = (codes != 0) & (codes != full)
    return Surface(grid, element_sizes(spacing)[codes[grid]])


@cache
def element_sizes(spacing: tuple[float, ...]) -> Floats:
    """Area (length) of the surface among neighbouring voxels, by which of them are inside.

    A voxel at offset (a, b, c) has bit a + 2b + 4c of the index.
    """
    corners = list(itertools.product((0, 1), repeat=len(spacing)))
    bits = [sum(offset << axis for axis, offset in enumerate(corner)) for corner in corners]
    sizes = np.zeros(1 << len(corners))
    for code in range(len(sizes)):
        inside = {corner for corner, bit in zip(corners, bits, strict=True) if code >> bit & 1}
        # where voxels touch at an edge only, it is the fewer that are apart
        fewer = inside if 2 * len(inside) <= len(corners) else set(corners) - inside
        sizes[code] = sum(_size(piece, np.array(spacing)) for piece in _pieces(fewer))
    sizes.flags.writeable = False
    return sizes


def _pieces(corners: set[Corner]) -> list[set[Corner]]:
    """The corners of a cell grouped by the edges that join them."""
    pieces: list[set[Corner]] = []
    for corner in sorted(corners):
        joined = [piece for piece in pieces if any(_is_edge(corner, other) for other in piece)]
        pieces = [piece for piece in pieces if piece not in joined]
        pieces.append({corner}.union(*joined))
    return pieces


def _size(piece: set[Corner], spacing: Floats) -> float:
    """Area (length) of the surface that cuts a piece off from the rest of its cell.

    The surface is the ring of the cut edges' midpoints. A ring that is not flat is folded along its diagonal
    through the middle of the cell.
    """
    corners = itertools.product((0, 1), repeat=len(spacing))
    outside = [corner for corner in corners if corner not in piece]
    cuts = [np.add(one, other) / 2 for one in sorted(piece) for other in outside if _is_edge(one, other)]
    if len(spacing) == 2:
        return float(np.linalg.norm((cuts[0] - cuts[1]) * spacing))
    ring = _ring(cuts) * spacing
    edges = ring[1:] - ring[0]
    return float(np.linalg.norm(np.cross(edges[:-1], edges[1:]), axis=1).sum() / 2)


def _ring(cuts: list[Floats]) -> Floats:
    """Midpoints in the order round the cell, from an end of the diagonal through its middle where there is one."""
    folded = [cut for cut in cuts if any(np.array_equal(1 - cut, other) for other in cuts)]
    ring = [folded[0] if folded else cuts[0]]
    while len(ring) < len(cuts):
        ring.append(next(cut for cut in cuts if _share_a_face(cut, ring[-1]) and not _is_among(cut, ring)))
    return np.array(ring)


def _share_a_face(one: Floats, other: Floats) -> bool:
    return bool(((one == other) & (one != 0.5)).any())


def _is_among(point: Floats, points: list[Floats]) -> bool:
    return any(np.array_equal(point, other) for other in points)


def _is_edge(one: Corner, other: Corner) -> bool:
    return sum(a != b for a, b in zip(one, other, strict=True)) == 1


def _along(axis: int, part: slice | int) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, part)
