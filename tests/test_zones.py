"""The zones around lesions equal those of SciPy's dilation, which takes longer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from benchbench.metrics.zones import dilate, find_zones

Mask = np.ndarray[Any, np.dtype[np.bool_]]
SHAPES = [(1, 1, 1), (1, 5, 8), (3, 1, 9), (7, 6, 1), (9, 8, 7), (12, 11, 64), (10, 9, 17), (30, 31, 33)]


def dilate_by_scipy(mask: Mask, times: int) -> Mask:
    dilated: Mask = ndimage.binary_dilation(mask, ndimage.generate_binary_structure(3, 2), iterations=times)
    return dilated


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("density", [0.0, 0.001, 0.02, 0.4, 1.0])
def test_a_mask_grows_as_by_scipy(shape: tuple[int, int, int], times: int, density: float) -> None:
    mask = np.random.default_rng(times).random(shape) < density
    np.testing.assert_array_equal(dilate(mask, times=times), dilate_by_scipy(mask, times))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("times", [1, 3])
def test_a_voxel_at_the_border_grows_as_by_scipy(shape: tuple[int, int, int], times: int) -> None:
    for corner in np.ndindex(2, 2, 2):
        mask = np.zeros(shape, np.bool_)
        mask[tuple(-side for side in corner)] = True
        np.testing.assert_array_equal(dilate(mask, times=times), dilate_by_scipy(mask, times))


def test_the_mask_stays_as_it_is_and_its_order_in_memory_is_free() -> None:
    mask = np.asfortranarray(np.random.default_rng(0).random((6, 7, 9)) < 0.1)
    before = mask.copy()
    np.testing.assert_array_equal(dilate(mask, times=2), dilate_by_scipy(before, 2))
    np.testing.assert_array_equal(mask, before)


def test_zones_that_touch_have_one_number() -> None:
    line = np.zeros((1, 1, 12), np.bool_)
    line[0, 0, [0, 3, 8]] = True  # with zones of one voxel the first two touch
    zones = find_zones(line, dilation=1)
    assert len(zones.boxes) == 2
    assert zones.labels.ravel().tolist() == [1, 1, 1, 1, 1, 0, 0, 2, 2, 2, 0, 0]
