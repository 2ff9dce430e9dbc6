"""The augmentation of volumes against MONAI's transforms, with the same parameters."""

from __future__ import annotations

import warnings
from types import ModuleType

import pytest
import torch
from torch import Tensor

from benchbench.engine.augmentation import intensity, samples
from benchbench.engine.augmentation.spatial_3d import scale_maps, transform_in_place


@pytest.fixture(scope="module")
def monai() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own affair
        return pytest.importorskip("monai.transforms")


@pytest.fixture(params=[True, False], ids=["one by one", "in batches"], autouse=True)
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "one_at_a_time", lambda _: request.param)


def patch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, 2, 20, 20, 20, generator=generator)
    return images, torch.randint(0, 8, (1, 20, 20, 20), generator=generator, dtype=torch.uint8)


def amount(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def assert_same(result: Tensor, expected: Tensor, *, within: float = 1e-5) -> None:
    torch.testing.assert_close(result, torch.as_tensor(expected), atol=within, rtol=0, check_dtype=False)


@pytest.mark.parametrize("axes", [[0], [1], [2], [0, 2], [0, 1, 2]])
def test_flips(monai: ModuleType, axes: list[int]) -> None:
    images, labels = patch()
    flip = monai.Flip(axes)
    expected, expected_label = flip(images[0]), flip(labels)
    signs = torch.tensor([[-1.0 if axis in axes else 1.0 for axis in range(3)]], dtype=torch.float64)
    transform_in_place(images, labels, scale_maps(signs))
    assert_same(images[0], expected, within=0)
    assert_same(labels, expected_label, within=0)


@pytest.mark.parametrize("zoom", [1.2, 1.4])
def test_zoom(monai: ModuleType, zoom: float) -> None:
    images, labels = patch()
    expected = monai.Zoom(zoom, mode="trilinear", align_corners=False, keep_size=True)(images[0])
    nearest = monai.Zoom(zoom, mode="nearest-exact", keep_size=True)(labels)
    transform_in_place(images, labels, scale_maps(amount(zoom)[:, None].expand(-1, 3)))
    assert_same(images[0], expected, within=1e-4)
    assert_same(labels, nearest, within=0)


@pytest.mark.parametrize("sigma", [0.75, 1.0, 1.5])
def test_blur_within_the_border(monai: ModuleType, sigma: float) -> None:
    images, _ = patch()
    # MONAI puts zeros around, and does not make the weights, cut off at 4 sigma, add up to 1
    expected = monai.GaussianSmooth(sigma, approx="sampled")(images[0])
    intensity.blur(images, amount(sigma))
    inside = (slice(None), *[slice(6, -6)] * 3)
    assert_same(images[0][inside], expected[inside], within=1e-3)


def test_multiplicative_brightness(monai: ModuleType) -> None:
    images, _ = patch()
    expected = monai.ScaleIntensity(minv=None, maxv=None, factor=0.3)(images[0])
    intensity.multiply(images, amount(1.3))
    assert_same(images[0], expected)


@pytest.mark.parametrize("factor", [0.65, 1.5])
@pytest.mark.parametrize("about", ["mean", "zero"])
def test_contrast(monai: ModuleType, factor: float, about: str) -> None:
    images, _ = patch()
    scale = monai.ScaleIntensityFixedMean(
        factor=factor - 1, preserve_range=True, fixed_mean=about == "mean", channel_wise=True
    )
    expected = scale(images[0])
    change = intensity.stretch_contrast if about == "mean" else intensity.stretch_from_zero
    change(images, amount(factor))
    assert_same(images[0], expected)


def test_gamma(monai: ModuleType) -> None:
    images, _ = patch()
    expected = torch.cat([monai.AdjustContrast(1.5)(channel[None]) for channel in images[0]])
    intensity.apply_gamma(images, amount(1.5))
    assert_same(images[0], expected)
