from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from benchbench.engine.augmentation import intensity, samples
from benchbench.engine.augmentation.augment import augment, check_patch
from benchbench.engine.augmentation.draw import draw_axis_maps
from benchbench.errors import IncompatibleError
from benchbench.spec.augmentation import (
    Albumentations,
    AugmentStep,
    Blur,
    Brightness,
    Contrast,
    Flip,
    Gamma,
    MultiplicativeBrightness,
    Noise,
    Rot90,
    Rotate,
    Scale,
    Shift,
    Transpose,
)

FLIP = Flip(name="flip")
SCALE = Scale(name="scale", range=(1.0, 1.4), p=0.5)
CUBIC = Scale(name="scale", range=(1.0, 1.4), interpolation="cubic", p=0.5)
SHIFT = Shift(name="shift", fraction=0.15)
BRIGHTNESS = Brightness(name="brightness", limit=0.2)
MULTIPLIED = MultiplicativeBrightness(name="multiplicative_brightness", range=(0.7, 1.3))
CONTRAST = Contrast(name="contrast", range=(0.65, 1.5))
ABOUT_ZERO = Contrast(name="contrast", range=(0.65, 1.5), about="zero")
GAMMA = Gamma(name="gamma", range=(0.7, 1.5))
NOISE = Noise(name="noise", sigma=(0.0, 0.33))
BLUR = Blur(name="blur", sigma=(0.5, 1.5))
SPATIAL = (FLIP, SCALE, CUBIC, SHIFT)
INTENSITY = (NOISE, BLUR, BRIGHTNESS, MULTIPLIED, CONTRAST, ABOUT_ZERO, GAMMA)
ALL = (*SPATIAL, *INTENSITY)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 4, size: tuple[int, int, int] = (12, 10, 14), channels: int = 2) -> tuple[Tensor, Tensor]:
    images = torch.rand(count, channels, *size, generator=seeded(1))
    return images, torch.randint(0, 8, (count, *size), generator=seeded(2), dtype=torch.uint8)


def amount(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture(params=[True, False], ids=["one by one", "in batches"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU takes the samples one by one, a GPU in batches; both do the same."""
    monkeypatch.setattr(samples, "one_at_a_time", lambda _: request.param)


def test_a_cubic_or_linear_zoom_takes_its_factor_from_its_range() -> None:
    step = Scale(name="scale", range=(1.0, 1.4), interpolation="cubic", p=0.15)
    maps = draw_axis_maps([step], 4000, (8, 8, 8), generator=seeded())
    zooms = 1 / maps.factors
    assert torch.equal(zooms[:, 0], zooms[:, 1])
    assert torch.equal(zooms[:, 0], zooms[:, 2])
    assert 1 <= zooms.min() < zooms.max() <= 1.4
    assert zooms.max() > 1.39
    assert float((zooms[:, 0] != 1).double().mean()) == pytest.approx(0.15, abs=0.02)
    assert torch.equal(maps.cubic, zooms[:, 0] != 1)


def test_each_of_three_axes_is_flipped_independently() -> None:
    maps = draw_axis_maps([Flip(name="flip", p=0.3)], 4000, (8, 8, 8), generator=seeded())
    flipped = maps.factors < 0
    assert flipped.double().mean(0).tolist() == pytest.approx([0.3] * 3, abs=0.03)
    assert float(flipped.all(1).double().mean()) == pytest.approx(0.027, abs=0.01)


def test_a_shift_is_a_share_of_its_own_axis() -> None:
    steps = [Shift(name="shift", fraction=0.25, p=1.0)]
    maps = draw_axis_maps(steps, 2000, (40, 80, 20), generator=seeded())
    assert maps.offsets.abs().amax(0).tolist() == pytest.approx([10, 20, 5], rel=0.03)


@given(steps=st.lists(st.sampled_from(ALL), max_size=6), seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_labels_keep_their_values_and_images_stay_finite(steps: list[AugmentStep], seed: int) -> None:
    images, labels = batch()
    labels = labels & 5
    changed, changed_labels = augment(images, labels, steps, generator=seeded(seed))
    assert not (changed_labels & ~torch.tensor(5, dtype=torch.uint8)).any()
    assert changed_labels.dtype == torch.uint8
    assert changed.dtype == torch.float32
    assert changed.shape == images.shape
    assert changed.isfinite().all()


@pytest.mark.usefixtures("either_way")
def test_a_label_moves_with_its_image() -> None:
    z, y, x = torch.meshgrid(*[torch.arange(48.0)] * 3, indexing="ij")
    blobs = [
        ((z - 20) / 12) ** 2 + ((y - 28) / 9) ** 2 + ((x - 22) / 10) ** 2 < 1,
        (z - 26).abs() + (y - 20).abs() + (x - 25).abs() < 14,
    ]
    image = torch.stack([blob.float() for blob in blobs])
    label = torch.as_tensor(sum(blob.to(torch.uint8) << bit for bit, blob in enumerate(blobs)))
    images, labels = augment(image.repeat(16, 1, 1, 1, 1), label.repeat(16, 1, 1, 1), SPATIAL, generator=seeded())
    for bit in range(2):
        bright, marked = images[:, bit] > 0.5, (labels >> bit & 1).bool()
        overlap = (bright & marked).sum((1, 2, 3)) / (bright | marked).sum((1, 2, 3))
        assert float(overlap.min()) > 0.9
        assert float(overlap.mean()) > 0.95


def test_a_sample_does_not_depend_on_the_rest_of_its_batch() -> None:
    images, labels = batch(count=8)
    others = images.clone()
    others[:, 1:] = 5 * torch.rand(others[:, 1:].shape, generator=seeded(9))
    one_way = augment(images, labels, ALL, generator=seeded(3))
    again = augment(images, labels, ALL, generator=seeded(3))
    with_others = augment(others, torch.zeros_like(labels), ALL, generator=seeded(3))
    assert torch.equal(one_way[0], again[0])
    assert torch.equal(one_way[1], again[1])
    assert torch.equal(one_way[0][:, 0], with_others[0][:, 0])
    differently = augment(images, labels, ALL, generator=seeded(4))
    assert not torch.equal(one_way[0], differently[0])


def test_the_generator_advances_equally_for_any_batch() -> None:
    states = []
    for size in ((8, 8, 8), (6, 7, 12)):
        images, labels = batch(size=size, channels=size[0] // 2)
        generator = seeded(5)
        augment(images, labels, ALL, generator=generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_samples_one_at_a_time_and_in_batches_give_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = batch(count=12)
    steps = [step for step in ALL if step is not NOISE]
    singly = augment(images, labels, steps, generator=seeded())
    monkeypatch.setattr(samples, "one_at_a_time", lambda _: False)
    together = augment(images, labels, steps, generator=seeded())
    torch.testing.assert_close(singly[0], together[0], atol=1e-5, rtol=0)
    assert torch.equal(singly[1], together[1])


def test_the_given_batch_is_not_changed() -> None:
    images, labels = batch()
    before, labels_before = images.clone(), labels.clone()
    for steps in ((), ALL):
        changed, changed_labels = augment(images, labels, steps, generator=seeded())
        assert changed.data_ptr() != images.data_ptr()
        assert changed_labels.data_ptr() != labels.data_ptr()
    assert torch.equal(images, before)
    assert torch.equal(labels, labels_before)


def test_in_place_the_batch_itself_gets_the_same_values() -> None:
    images, labels = batch()
    expected, expected_labels = augment(images, labels, ALL, generator=seeded())
    result, result_labels = augment(images, labels, ALL, generator=seeded(), in_place=True)
    assert result.data_ptr() == images.data_ptr()
    assert result_labels.data_ptr() == labels.data_ptr()
    assert torch.equal(result, expected)
    assert torch.equal(result_labels, expected_labels)


@pytest.mark.parametrize("in_place", [True, False])
def test_memory_layout_does_not_matter(in_place: bool) -> None:
    images, labels = batch()
    plain = augment(images, labels, ALL, generator=seeded())
    interleaved = images.contiguous(memory_format=torch.channels_last_3d)
    other = augment(interleaved, labels, ALL, generator=seeded(), in_place=in_place)
    assert torch.equal(other[0], plain[0])
    assert other[0].is_contiguous()


def test_each_step_for_slices_is_refused_for_volumes_in_its_own_line() -> None:
    steps = [
        FLIP,
        Rot90(name="rot90"),
        Rotate(name="rotate", degrees=9.0),
        Transpose(name="transpose"),
        Albumentations(albumentations="GridDistortion"),
        *INTENSITY,
    ]
    assert check_patch(steps, (8, 8, 9)) == [
        "augment: rot90 is for slices, found a patch of 8 x 8 x 9; leave it out",
        "augment: rotate is for slices, found a patch of 8 x 8 x 9; leave it out",
        "augment: transpose is for slices, found a patch of 8 x 8 x 9; leave it out",
        "augment: albumentations = 'GridDistortion' is for slices, found a patch of 8 x 8 x 9; leave it out",
    ]
    images, labels = batch()
    with pytest.raises(IncompatibleError, match="rot90 is for slices"):
        augment(images, labels, steps, generator=seeded())


def test_a_cubic_zoom_is_refused_for_slices() -> None:
    (problem,) = check_patch([FLIP, CUBIC, SCALE], (8, 8))
    assert problem == (
        "augment: scale.interpolation: found 'cubic', which is for volumes; slices are scaled with 'linear'"
    )


@pytest.mark.usefixtures("either_way")
def test_contrast_about_zero_multiplies_within_the_range_of_each_channel() -> None:
    images = torch.tensor([[0.0, 1.0, 2.0], [-3.0, 1.0, 6.0]])[None, :, None, None].repeat(2, 1, 1, 1, 1)
    intensity.stretch_from_zero(images, amount(1.5, 0.5))
    assert images[0, :, 0, 0].tolist() == [[0, 1.5, 2], [-3, 1.5, 6]]
    assert images[1, :, 0, 0].tolist() == [[0, 0.5, 1], [-1.5, 0.5, 3]]


@pytest.mark.usefixtures("either_way")
def test_contrast_about_the_mean_uses_the_mean_of_each_channel() -> None:
    images = torch.tensor([[0.0, 0.2, 0.4, 0.6], [1, 2, 3, 4]])[None, :, None, None]
    intensity.stretch_contrast(images, amount(2))
    torch.testing.assert_close(images[0, :, 0, 0], torch.tensor([[0.0, 0.1, 0.5, 0.6], [1, 1.5, 3.5, 4]]))


def test_multiplicative_brightness_multiplies() -> None:
    images = torch.tensor([[1.0, -2.0], [3.0, 0.0]])[:, None, None, None]
    intensity.multiply(images, amount(0.5, 1.3))
    torch.testing.assert_close(images.flatten(), torch.tensor([0.5, -1.0, 3.9, 0.0]))
    slices, labels = torch.ones(50, 1, 2, 2), torch.zeros(50, 2, 2, dtype=torch.uint8)
    changed, _ = augment(slices, labels, [MULTIPLIED], generator=seeded())
    assert 0.7 <= changed.min() < 0.9
    assert 1.1 < changed.max() <= 1.3
    assert 10 < int((changed == 1).all((1, 2, 3)).sum()) < 40


@pytest.mark.usefixtures("either_way")
def test_blur_is_scipys_gaussian_filter() -> None:
    images, _ = batch(count=3, size=(20, 11, 16))
    sigmas = (0.5, 1.5, 2.9)
    expected = np.stack(
        [
            ndimage.gaussian_filter(image.numpy(), (0, sigma, sigma, sigma), mode="nearest")
            for image, sigma in zip(images, sigmas, strict=True)
        ]
    )
    for image, sigma in zip(images, sigmas, strict=True):
        intensity.blur(image[None], amount(sigma))
    np.testing.assert_allclose(images.numpy(), expected, atol=1e-5)


def test_each_sample_of_a_batch_is_blurred_by_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    images, _ = batch(count=3)
    expected = images.clone()
    for image, sigma in zip(expected, (0.0, 0.7, 2.0), strict=True):
        intensity.blur(image[None], amount(sigma))
    for one_by_one in (True, False):
        monkeypatch.setattr(samples, "one_at_a_time", lambda _, way=one_by_one: way)
        blurred = images.clone()
        intensity.blur(blurred, amount(0.0, 0.7, 2.0))
        torch.testing.assert_close(blurred, expected, atol=1e-6, rtol=0)


@pytest.mark.usefixtures("either_way")
def test_noise_is_independent_in_every_channel() -> None:
    images = torch.zeros(2, 3, 30, 30, 30)
    intensity.add_noise(images, amount(0.1, 0.3), torch.tensor([1, 2]))
    for noise, sigma in zip(images, (0.1, 0.3), strict=True):
        assert float(noise.std()) == pytest.approx(sigma, rel=0.02)
    assert torch.corrcoef(images.view(6, -1)).triu(1).abs().max() < 0.03


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_result_of_the_cpu() -> None:
    images, labels = batch(count=16)
    steps = [step for step in ALL if step is not NOISE]
    expected, expected_labels = augment(images, labels, steps, generator=seeded())
    result, result_labels = augment(images.cuda(), labels.cuda(), steps, generator=seeded())
    torch.testing.assert_close(result.cpu(), expected, atol=1e-4, rtol=0)
    assert torch.equal(result_labels.cpu(), expected_labels)
