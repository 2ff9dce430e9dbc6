from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchbench.engine.preparation.normalise import normalise


def image(*channels: list[float], dtype: Any = np.int16) -> np.ndarray:
    return np.array(channels, dtype)[:, None, None]


def test_zscore_of_nonzero_voxels_leaves_0_at_0() -> None:
    scaled = normalise(image([0, 0, 10, 20, 30]), "zscore_nonzero")[0, 0, 0]
    # mean 20, variance 200 / 3
    assert scaled.tolist() == pytest.approx([0, 0, -1.2247, 0, 1.2247], abs=1e-3)


def test_zscore_counts_every_voxel() -> None:
    scaled = normalise(image([0, 0, 3, 3]), "zscore")[0, 0, 0]
    assert scaled.tolist() == [-1, -1, 1, 1]


def test_unit_is_the_range_and_8_bit_images_stay_as_they_are() -> None:
    assert normalise(image([-4, 0, 4]), "unit")[0, 0, 0].tolist() == [0, 0.5, 1]
    stored = image([0, 7, 255], dtype=np.uint8)
    assert normalise(stored, "unit").dtype == np.uint8
    assert np.array_equal(normalise(stored, "unit"), stored)


def test_percentiles_clip_outliers() -> None:
    values = np.arange(1001, dtype=np.float32)
    values[-1] = 1e6
    scaled = normalise(values[None, None, None], "percentile")[0, 0, 0]
    assert (scaled.min(), scaled.max()) == (0, 1)
    assert scaled[500] == pytest.approx((500 - 5) / (995 - 5), abs=1e-3)
    assert (scaled[:6] == 0).all()


def test_the_foreground_channel_is_1_where_any_channel_is_not_0() -> None:
    scaled = normalise(image([0, 0, 5, 0], [0, 3, 0, 0]), "zscore_nonzero", one_hot_foreground=True)
    assert scaled.shape[0] == 3
    assert scaled[2, 0, 0].tolist() == [0, 1, 1, 0]
    # also of 8 bits, which are divided by 255 here because the appended channel is 1
    small = normalise(image([0, 51], dtype=np.uint8), "unit", one_hot_foreground=True)
    assert small.ravel().tolist() == pytest.approx([0, 0.2, 0, 1], abs=1e-3)


@pytest.mark.parametrize("intensity", ["unit", "zscore", "zscore_nonzero", "percentile"])
@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_channel_becomes_0(intensity: Any, value: int) -> None:
    assert not normalise(image([value] * 4), intensity).any()


def test_the_stored_image_is_not_changed() -> None:
    stored = image([0, 5, 9], dtype=np.float32)
    normalise(stored, "zscore")
    assert stored.ravel().tolist() == [0, 5, 9]
