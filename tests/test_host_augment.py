from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchbench.engine.augmentation.augment import augment
from benchbench.engine.augmentation.host_augment import apply_albumentations, check_albumentations
from benchbench.errors import IncompatibleError
from benchbench.spec.augmentation import Albumentations, AugmentStep, Flip, Gamma


def step(name: str, **params: Any) -> Albumentations:
    return Albumentations(albumentations=name, **params)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


ELASTIC = step("ElasticTransform", alpha=60, sigma=6, p=0.7)


def blobs(count: int = 8, size: int = 64, channels: int = 2) -> tuple[Tensor, Tensor]:
    """Images whose every channel is bright where the label is 2."""
    row, column = torch.meshgrid(torch.arange(float(size)), torch.arange(float(size)), indexing="ij")
    inside = ((row - 30) / 18) ** 2 + ((column - 35) / 12) ** 2 < 1
    return inside.float().repeat(count, channels, 1, 1), 2 * inside.to(torch.uint8).repeat(count, 1, 1)


def test_the_same_generator_gives_the_same_batch() -> None:
    images, labels = blobs()
    steps = [ELASTIC, step("GaussNoise", p=0.5)]
    first, again = (augment(images, labels, steps, generator=seeded(7)) for _ in range(2))
    other = augment(images, labels, steps, generator=seeded(8))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_a_sample_does_not_depend_on_the_others() -> None:
    images, labels = blobs()
    pixels, masks = images.permute(0, 2, 3, 1).contiguous().numpy(), labels.numpy()
    batch, _ = apply_albumentations(pixels, masks, ELASTIC, seeds=list(range(8)))
    alone, _ = apply_albumentations(pixels[5:6], masks[5:6], ELASTIC, seeds=[5])
    np.testing.assert_array_equal(batch[5], alone[0])
    assert len({image.tobytes() for image in batch}) > 3


def test_steps_are_drawn_independently() -> None:
    label = torch.arange(4, dtype=torch.uint8).view(1, 2, 2).repeat(400, 1, 1)
    steps = [step("HorizontalFlip", p=0.5), step("VerticalFlip", p=0.5)]
    _, flipped = augment(label[:, None].float() / 4, label, steps, generator=seeded())
    counts = torch.bincount(flipped[:, 0, 0].long(), minlength=4)
    assert counts.min() > 60


def test_a_label_moves_with_its_image_and_keeps_its_values() -> None:
    images, labels = blobs()
    always = step("ElasticTransform", alpha=60, sigma=6, p=1.0)
    moved, moved_labels = augment(images, labels, [always], generator=seeded())
    assert set(moved_labels.unique().tolist()) == {0, 2}
    bright, marked = moved[:, 0] > 0.5, moved_labels == 2
    overlap = (bright & marked).sum((1, 2)) / (bright | marked).sum((1, 2))
    assert float(overlap.min()) > 0.95
    assert not torch.equal(moved_labels, labels)


def test_with_probability_0_the_result_is_an_unchanged_copy() -> None:
    images, labels = blobs(channels=1)
    for scale in (1.0, 3.0):
        given = images * scale
        same, same_labels = augment(given, labels, [step("ElasticTransform", p=0.0)], generator=seeded())
        assert torch.equal(same, given)
        assert torch.equal(same_labels, labels)
        assert same.data_ptr() != given.data_ptr()


def test_images_beyond_one_keep_their_range() -> None:
    images = torch.randn(2, 3, 8, 8, generator=seeded())
    labels = torch.zeros(2, 8, 8, dtype=torch.uint8)
    inverted, _ = augment(images, labels, [step("InvertImg", p=1.0)], generator=seeded())
    extremes = images.amax((1, 2, 3), keepdim=True) + images.amin((1, 2, 3), keepdim=True)
    torch.testing.assert_close(inverted, extremes - images, atol=1e-5, rtol=0)


def test_a_constant_image_beyond_one_stays_finite() -> None:
    images, labels = torch.full((1, 3, 8, 8), 7.0), torch.zeros(1, 8, 8, dtype=torch.uint8)
    changed, _ = augment(images, labels, [step("HorizontalFlip", p=1.0)], generator=seeded())
    assert torch.equal(changed, images)


def test_it_comes_after_spatial_and_before_intensity_transforms() -> None:
    images = torch.tensor([0.0, 0.5, 1.0, 0.2]).view(1, 1, 2, 2)
    labels = torch.zeros(1, 2, 2, dtype=torch.uint8)
    square = Gamma(name="gamma", range=(2, 2), p=1.0)
    steps: list[AugmentStep] = [square, step("InvertImg", p=1.0), Flip(name="flip", p=1.0)]
    changed, _ = augment(images, labels, steps, generator=seeded())
    torch.testing.assert_close(changed, torch.tensor([0.64, 0.0, 0.25, 1.0]).view(1, 1, 2, 2))


@pytest.mark.parametrize(
    "good",
    [
        step("ElasticTransform", alpha=50, p=0.3),
        step("Affine", scale=[0.9, 1.1], rotate=[-10, 10], p=0.5),
        step("GaussNoise", std_range=[0.01, 0.05]),
        step("ToSepia", p=0.2),
        step("GridDropout", fill_mask=0),
    ],
    ids=lambda good: good.albumentations,
)
def test_a_step_that_works_has_no_problems(good: Albumentations) -> None:
    assert check_albumentations(good, shape=(64, 64, 3)) == []


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (
            step("ElasticTransfrm"),
            "'ElasticTransfrm': no transform of an image and its mask; did you mean 'ElasticTran",
        ),
        (
            step("CenterCrop3D"),
            "'CenterCrop3D': no transform of an image and its mask; did you mean 'CenterCrop'?",
        ),
        (step("Compose"), "'Compose': no transform of an image and its mask"),
        (step("DualTransform"), "'DualTransform': no transform of an image and its mask"),
        (step("ElasticTransform", alhpa=3), "'ElasticTransform': no parameter 'alhpa'; did you mean 'alpha'?"),
        (step("ToSepia", strict=True), "'ToSepia': no parameter 'strict'; known: p"),
        (
            step("ElasticTransform", sigma=0),
            "'ElasticTransform': sigma: Input should be greater than or equal to 1",
        ),
        (
            step("ElasticTransform", p=2.0),
            "'ElasticTransform': p: Input should be less than or equal to 1, found 2.0",
        ),
        (step("ToSepia", p=2.0), "'ToSepia': p: Input should be less than or equal to 1, found 2.0"),
        (step("CenterCrop", height=4), "'CenterCrop': width: Field required"),
        (step("CropAndPad"), "'CropAndPad': Value error, Both px and percent"),
        (step("Affine", mask_interpolation=1), "'Affine': mask_interpolation must be 0, found 1; the values of a"),
        (step("GridDropout", fill_mask=255), "'GridDropout': fill_mask must be 0, found 255"),
        (step("PixelDropout", mask_drop_value=1), "'PixelDropout': mask_drop_value must be 0, found 1"),
    ],
    ids=lambda value: value.albumentations if isinstance(value, Albumentations) else "",
)
def test_a_step_that_cannot_be_built_has_one_line_with_the_reason(bad: Albumentations, problem: str) -> None:
    (problem_line,) = check_albumentations(bad)
    assert problem_line.startswith(f"albumentations = {problem}")
    assert "\n" not in problem_line


def test_every_wrong_parameter_has_a_line() -> None:
    assert len(check_albumentations(step("ElasticTransform", alpha=-1, sigma=0))) == 2
    assert len(check_albumentations(step("ElasticTransform", a=1, b=2))) == 2


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (
            step("Transpose", p=0.01),
            "'Transpose' on 24 x 40 pixels with 4 channels: returned 40 x 24, expected the same size",
        ),
        (
            step("FromFloat"),
            "'FromFloat' on 24 x 40 pixels with 4 channels: returned uint8 for the image, expected float32",
        ),
        (
            step("HueSaturationValue"),
            "'HueSaturationValue' on 24 x 40 pixels with 4 channels: HueSaturationValue transfor",
        ),
        (step("FDA"), "'FDA' on 24 x 40 pixels with 4 channels: FDA requires"),
    ],
    ids=lambda value: value.albumentations if isinstance(value, Albumentations) else "",
)
def test_a_step_that_fails_on_the_patch_is_found_by_applying_it(bad: Albumentations, problem: str) -> None:
    assert check_albumentations(bad) == []
    (problem_line,) = check_albumentations(bad, shape=(24, 40, 4))
    assert problem_line.startswith(f"albumentations = {problem}")


def test_a_changed_shape_stops_the_training() -> None:
    images, labels = blobs(count=1)
    with pytest.raises(
        IncompatibleError, match=r"'CenterCrop' on 64 x 64 pixels with 2 channels: returned 32 x 32"
    ):
        augment(images, labels, [step("CenterCrop", height=32, width=32)], generator=seeded())
