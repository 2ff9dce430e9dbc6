"""Nearest distances are, bit for bit, the smallest over all pairs of points, from the table and from the tree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from benchbench.metrics import nearest
from benchbench.metrics.nearest import nearest_distances, step_table

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
SPACINGS = [(1.0, 1.0, 1.0), (0.5, 0.9375, 3.0), (5.0, 0.75, 0.75), (0.7, 0.7, 1.3), (0.1, 2.0, 0.976562)]
SHAPES = [(1, 9, 14), (13, 12, 11), (21, 17)]


@pytest.fixture
def table_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "_FEW", 1)


def draw(kind: str, shape: tuple[int, ...], seed: int) -> Mask:
    generator = np.random.default_rng(seed)
    mask = np.zeros(shape, np.bool_)
    match kind:
        case "one voxel":
            mask[tuple(generator.integers(shape))] = True
        case "at the border":
            mask[..., -1] = True
        case "scattered":
            mask |= generator.random(shape) < 0.05
            mask.flat[seed] = True
        case "solid":
            mask |= ndimage.gaussian_filter(generator.random(shape), 1.5) > 0.5
            mask.flat[seed] = True
    return mask


def distances_of_all_pairs(grid: Mask, other: Mask, spacing: tuple[float, ...]) -> Floats:
    points, targets = np.argwhere(grid) * spacing, np.argwhere(other) * spacing
    squares = np.zeros((len(points), len(targets)))
    for axis in range(grid.ndim):
        squares += (points[:, None, axis] - targets[None, :, axis]) ** 2
    smallest: Floats = np.sqrt(squares.min(1))
    return smallest


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "kinds", ["one voxel, solid", "at the border, scattered", "scattered, one voxel", "solid, solid"]
)
@pytest.mark.parametrize("orders", ["CC", "CF", "FC", "FF"])
@pytest.mark.usefixtures("table_for_all")
def test_distances_from_the_table_are_those_of_all_pairs(
    shape: tuple[int, ...], spacing: tuple[float, ...], kinds: str, orders: str
) -> None:
    one, other = (
        np.array(draw(kind, shape, seed), order=order)  # type: ignore[call-overload]
        for seed, (kind, order) in enumerate(zip(kinds.split(", "), orders, strict=True))
    )
    spacing = spacing[: len(shape)]
    for grid, target in ((one, other), (other, one)):
        distances = nearest_distances(grid, target, spacing, reach=np.inf)
        np.testing.assert_array_equal(distances, distances_of_all_pairs(grid, target, spacing))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("reach", [0.0, 1.0, 2.0, 2.5, 5.0])
@pytest.mark.usefixtures("table_for_all")
def test_distances_within_the_reach_are_those_of_all_pairs(spacing: tuple[float, ...], reach: float) -> None:
    grid, other = draw("solid", (13, 12, 11), 0), draw("scattered", (13, 12, 11), 1)
    distances = nearest_distances(grid, other, spacing, reach=reach)
    expected = distances_of_all_pairs(grid, other, spacing)
    np.testing.assert_array_equal(distances[expected <= reach], expected[expected <= reach])
    assert (distances[expected > reach] > reach).all()


def test_a_large_surface_has_the_distances_of_the_tree_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (60, 70, 50)
    solid = ndimage.gaussian_filter(np.random.default_rng(0).random(shape), 4) > 0.5
    grid = solid ^ ndimage.binary_erosion(solid)
    other = np.roll(grid, (3, -2, 5), axis=(0, 1, 2))
    assert np.count_nonzero(grid & ~other) > 2 * nearest._FEW
    distances = nearest_distances(grid, other, (1.0, 1.0, 1.0), reach=np.inf)
    monkeypatch.setattr(nearest, "_FEW", grid.size)
    np.testing.assert_array_equal(distances, nearest_distances(grid, other, (1.0, 1.0, 1.0), reach=np.inf))


def test_the_table_has_every_step_of_its_lengths_once_and_in_order() -> None:
    table = step_table((1.0, 1.0, 1.0))
    assert [len(steps) for steps in table.values()][:6] == [6, 12, 8, 6, 24, 24]
    assert list(table) == sorted(table)
    assert sum(map(len, table.values())) == 256
    assert list(step_table((5.0, 1.0))) == [1, 2, 3, 4]


@pytest.mark.parametrize("spacing", [(0.7, 1.0), (1.0, 0.976562), (2000.0, 1.0)])
def test_the_table_is_empty_where_coordinates_are_rounded(spacing: tuple[float, ...]) -> None:
    assert step_table(spacing) == {}
