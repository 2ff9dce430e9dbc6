from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from benchbench.metrics.surfaces import element_sizes, element_surface, voxel_surface

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=5))
ROOT2, ROOT3 = math.sqrt(2), math.sqrt(3)


def code(*inside: tuple[int, ...]) -> int:
    return sum(1 << sum(offset << axis for axis, offset in enumerate(corner)) for corner in inside)


def test_the_surface_of_a_block_is_everything_except_its_core() -> None:
    block = np.ones((4, 3, 5), dtype=np.bool_)
    surface = voxel_surface(block)
    assert surface.weights.sum() == 4 * 3 * 5 - 2 * 1 * 3
    assert not surface.grid[1:3, 1:2, 1:4].any()


def test_a_hole_has_a_surface_but_a_diagonal_gap_does_not() -> None:
    ring = np.ones((3, 3), dtype=np.bool_)
    ring[1, 1] = False
    assert voxel_surface(ring).grid.tolist() == ring.tolist()
    block = np.ones((5, 5), dtype=np.bool_)
    block[0, 0] = False
    assert not voxel_surface(block).grid[1, 1]  # touches the gap at a corner only


@settings(deadline=None)
@given(MASKS)
def test_surface_voxels_are_those_with_a_face_neighbour_outside(mask: np.ndarray) -> None:
    grown = np.pad(mask, 1)
    expected = np.zeros_like(mask)
    for place in np.argwhere(mask):
        steps = itertools.product(range(mask.ndim), (0, 2))
        neighbours = [tuple(1 + place + (side - 1) * (np.arange(mask.ndim) == axis)) for axis, side in steps]
        expected[tuple(place)] = not all(grown[neighbour] for neighbour in neighbours)
    assert np.array_equal(voxel_surface(mask).grid, expected)


@pytest.mark.parametrize(
    ("inside", "area"),
    [
        ([(0, 0, 0)], ROOT3 / 8),  # an equilateral triangle of side 1/sqrt(2)
        ([(0, 0, 0), (1, 0, 0)], ROOT2 / 2),  # a rectangle across a cut-off edge
        ([(0, 0, 0), (1, 1, 0)], ROOT3 / 4),  # apart: two triangles
        ([(0, 0, 0), (1, 0, 0), (0, 1, 0)], 1 / 2 + 3 * ROOT3 / 8),  # a flat triangle and half a hexagon
        ([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)], 1),  # a plane
        ([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], 3 * ROOT3 / 4),  # a hexagon of side 1/sqrt(2)
        ([(0, 0, 0), (1, 1, 1)], ROOT3 / 4),
        ([], 0),
    ],
)
def test_the_area_between_eight_voxels_equals_hand_computed_values(
    inside: list[tuple[int, ...]], area: float
) -> None:
    sizes = element_sizes((1.0, 1.0, 1.0))
    assert sizes[code(*inside)] == pytest.approx(area)
    assert sizes[255 - code(*inside)] == pytest.approx(area)


def test_the_length_between_four_pixels_equals_hand_computed_values() -> None:
    sizes = element_sizes((3.0, 4.0))
    assert sizes[code((0, 0))] == pytest.approx(2.5)  # half of the diagonal
    assert sizes[code((0, 0), (1, 0))] == pytest.approx(3)  # along the first axis
    assert sizes[code((0, 0), (0, 1))] == pytest.approx(4)
    assert sizes[code((0, 0), (1, 1))] == pytest.approx(5)  # two corners apart
    assert sizes[0] == sizes[15] == 0


def test_a_box_has_the_area_of_its_faces_without_the_cut_edges_and_corners() -> None:
    mask = np.zeros((8, 9, 10), dtype=np.bool_)
    mask[2:6, 2:7, 2:8] = True
    size = np.array([4, 5, 6])
    spacing = (2.0, 1.0, 3.0)
    total = element_surface(mask, spacing).weights.sum()
    flat = sum(2 * (size[a] - 1) * spacing[a] * (size[b] - 1) * spacing[b] for a, b in ((0, 1), (0, 2), (1, 2)))
    edges = sum(
        4 * (size[a] - 1) * spacing[a] * math.hypot(spacing[b], spacing[c]) / 2
        for a, b, c in ((0, 1, 2), (1, 0, 2), (2, 0, 1))
    )
    one, two, three = spacing
    corner = math.sqrt((one * two) ** 2 + (one * three) ** 2 + (two * three) ** 2) / 8
    assert total == pytest.approx(flat + edges + 8 * corner)


@settings(deadline=None)
@given(st.permutations(range(3)), st.integers(0, 255))
def test_areas_are_the_same_after_swapping_axes(order: list[int], number: int) -> None:
    spacing = (0.5, 1.0, 2.5)
    cell = np.array([[[number >> (a + 2 * b + 4 * c) & 1 for c in (0, 1)] for b in (0, 1)] for a in (0, 1)])
    turned = cell.transpose(order)
    inside: list[Any] = [tuple(place) for place in np.argwhere(turned).tolist()]
    sizes = element_sizes(tuple(spacing[axis] for axis in order))
    assert sizes[code(*inside)] == pytest.approx(element_sizes(spacing)[number])


def test_the_areas_of_every_neighbourhood_equal_those_of_surface_distance() -> None:
    tables = pytest.importorskip("surface_distance.lookup_tables")
    kernel = tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL
    corners = list(itertools.product((0, 1), repeat=3))
    for spacing in ((1.0, 1.0, 1.0), (0.5, 0.7, 5.0)):
        theirs = tables.create_table_neighbour_code_to_surface_area(spacing)
        for chosen in itertools.product((False, True), repeat=8):
            inside = list(itertools.compress(corners, chosen))
            their_code = sum(int(kernel[corner]) for corner in inside)
            assert element_sizes(spacing)[code(*inside)] == pytest.approx(theirs[their_code], abs=1e-12)
