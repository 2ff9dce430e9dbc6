from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchbench.engine.preparation.denoise import TotalVariation
from benchbench.engine.preparation.normalise import normalise


def noisy_step(*, slices: int = 2, seed: int = 0) -> np.ndarray:
    """Dark on the left, bright on the right, with noise of a standard deviation of 0.05."""
    image = np.full((slices, 32, 32), 0.2, np.float32)
    image[..., 16:] = 0.8
    return image + np.random.default_rng(seed).normal(0, 0.05, image.shape).astype(np.float32)


@pytest.mark.parametrize("slice_by_slice", [True, False])
def test_noise_is_reduced_and_the_edge_stays(*, slice_by_slice: bool) -> None:
    image = noisy_step(slices=4)
    smooth = TotalVariation(weight=0.1, slice_by_slice=slice_by_slice)(image)
    assert smooth.dtype == np.float32
    for half in (np.s_[..., :15], np.s_[..., 17:]):
        assert smooth[half].std() < image[half].std() / 3
    steps = np.diff(smooth.mean(axis=(0, 1)))
    assert steps.argmax() == 15
    assert steps[15] > 0.5


def test_a_larger_weight_is_smoother() -> None:
    variations = [
        np.abs(np.diff(TotalVariation(weight=weight, slice_by_slice=True)(noisy_step()))).sum()
        for weight in (0.02, 0.1, 0.5)
    ]
    assert variations == sorted(variations, reverse=True)


@pytest.mark.parametrize("slice_by_slice", [True, False])
def test_a_constant_image_is_unchanged(*, slice_by_slice: bool) -> None:
    image = np.full((3, 8, 8), 0.375, np.float32)
    assert np.array_equal(TotalVariation(weight=0.1, slice_by_slice=slice_by_slice)(image), image)


def test_slices_are_denoised_independently_and_volumes_as_a_whole() -> None:
    image = noisy_step(slices=2)
    other = image.copy()
    other[1] = 0
    results = {
        flat: [TotalVariation(weight=0.1, slice_by_slice=flat)(channel)[0] for channel in (image, other)]
        for flat in (True, False)
    }
    assert np.array_equal(*results[True])
    assert not np.array_equal(*results[False])


def plus_one(channel: np.ndarray) -> np.ndarray:
    return channel + np.float32(1)


@pytest.mark.parametrize(
    ("intensity", "expected"),
    [("unit", [1, 1.2, 2]), ("zscore_nonzero", [0, 0, 2])],
)
def test_normalised_intensities_are_denoised(intensity: str, expected: list[float]) -> None:
    stored = np.array([0, 51, 255], np.uint8)[None, None, None]
    scaled = normalise(stored, intensity, denoise=plus_one)  # type: ignore[arg-type]
    assert scaled.dtype == np.float16
    assert scaled.ravel().tolist() == pytest.approx(expected, abs=1e-3)


def test_the_foreground_channel_is_that_of_the_stored_image() -> None:
    stored = np.array([0, 51, 255], np.uint8)[None, None, None]
    blur: Callable[[np.ndarray], np.ndarray] = lambda channel: np.full_like(channel, 0.5)  # noqa: E731
    scaled = normalise(stored, "unit", denoise=blur, one_hot_foreground=True)
    assert scaled[1].ravel().tolist() == [0, 1, 1]
