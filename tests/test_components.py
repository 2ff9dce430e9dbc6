"""Components equal those of SciPy's label and find_objects, with the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from benchbench.images.arrays import Mask
from benchbench.metrics import components
from benchbench.metrics.components import find_components

SHAPES = [(1, 1, 1), (1, 1, 9), (7, 1, 1), (2, 3, 2), (5, 1, 8), (9, 8, 7), (20, 21, 33)]


def assert_components_as_by_scipy(mask: Mask) -> None:
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    result = find_components(mask)
    np.testing.assert_array_equal(result.labels, labels)
    assert result.boxes == ndimage.find_objects(labels, count)


@pytest.mark.parametrize("least", [0, 16])  # from runs alone, and from voxels where runs are short
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", [0.0, 0.005, 0.02, 0.1, 0.5, 1.0])
def test_components_and_their_numbers_are_those_of_scipy(
    density: float, shape: tuple[int, int, int], least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(components, "_LEAST_VOXELS", least)
    random = np.random.default_rng(0)
    for _ in range(4):
        assert_components_as_by_scipy(random.random(shape) < density)


@pytest.mark.parametrize("step", [step for step in np.ndindex(3, 3, 3) if step != (1, 1, 1)])
def test_two_voxels_that_touch_are_one_component(step: tuple[int, int, int]) -> None:
    mask = np.zeros((3, 3, 50), np.bool_)
    mask[1, 1, 20] = mask[step[0], step[1], 19 + step[2]] = True
    assert len(find_components(mask).boxes) == 1
    assert_components_as_by_scipy(mask)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_voxels_at_opposite_borders_do_not_touch(axis: int) -> None:
    mask = np.zeros((5, 5, 40), np.bool_)
    ends = np.moveaxis(mask, axis, 0)
    ends[0, -1, -1] = ends[-1, 0, 0] = True
    assert len(find_components(mask).boxes) == 2
    assert_components_as_by_scipy(mask)


def test_a_component_of_two_branches_has_the_number_of_the_first() -> None:
    mask = np.zeros((1, 4, 60), np.bool_)
    mask[0, :, 0] = mask[0, :, 20] = mask[0, -1, :21] = True  # a U
    mask[0, 0, 10] = mask[0, 2, 40] = True
    assert find_components(mask).labels[0, [0, 0, 0, 2], [0, 10, 20, 40]].tolist() == [1, 2, 1, 3]
    assert_components_as_by_scipy(mask)


def test_the_order_in_memory_is_free() -> None:
    mask = np.random.default_rng(0).random((9, 12, 30)) < 0.02
    for view in (np.asfortranarray(mask), mask[::-1, :, ::-1], mask[:, ::2], mask.transpose(2, 0, 1)):
        assert_components_as_by_scipy(view)
