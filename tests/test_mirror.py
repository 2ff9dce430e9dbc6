from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from benchbench import Case
from benchbench.data.mirror import mirrored_axes
from benchbench.data.verify import verify
from benchbench.registry.registry import discover

REAL = Path(__file__).parents[2] / "shared" / "data" / "lgg"


def heart(*, noise: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """A bright ball off the middle of every axis, and where it is."""
    grid = np.indices((24, 32, 40))
    ball = sum((grid[axis] - place) ** 2 for axis, place in enumerate((8, 11, 13))) < 36
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(ball * 100.0, 0.7) + rng.normal(0, noise, ball.shape)
    return image[None], ball.astype(np.uint8)


def case(image: np.ndarray, label: np.ndarray) -> Case:
    return Case(image=image, label=label, affine=None, spacing_mm=None)


def test_a_correct_label_gets_no_remark() -> None:
    assert mirrored_axes(case(*heart())) == []


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_label_is_found_with_its_axis(axis: int) -> None:
    image, label = heart()
    assert mirrored_axes(case(image, np.flip(label, axis))) == [axis]


def test_one_channel_is_enough_to_find_a_mirrored_label() -> None:
    image, label = heart()
    rng = np.random.default_rng(1)
    images = np.concatenate([rng.normal(0, 1, image.shape), image])
    assert mirrored_axes(case(images, np.flip(label, 1))) == [1]


def test_an_image_without_contrast_gets_no_remark() -> None:
    image, label = heart(noise=400.0)
    for odd in (np.flip(label, 0), np.zeros_like(label), np.ones_like(label)):
        assert mirrored_axes(case(image, odd)) == []
    assert mirrored_axes(case(np.zeros_like(image), label)) == []


def test_verifying_remarks_on_a_mirrored_label(squares: Path) -> None:
    from toy_plugin import Squares

    folder = squares / "squares"
    path = folder / "patient00-a.npz"
    with np.load(path) as stored:
        image, label = stored["image"], stored["label"]
    np.savez(path, image=image, label=label[..., ::-1])
    verification = verify(Squares(folder), threads=1, progress=lambda: None)
    assert any(
        remark.startswith("patient00-a: the label fits the image better") for remark in verification.remarks
    )


@pytest.mark.real
def test_labels_of_real_patients_get_no_remark_but_most_mirrored_ones_do() -> None:
    if not REAL.is_dir():
        pytest.skip(f"no real patients in {REAL}")
    dataset = discover(["lgg"]).dataset("lgg").open(REAL)
    loaded = [dataset.load(ref.id) for ref in dataset.cases()[:6]]
    assert [mirrored_axes(patient) for patient in loaded] == [[]] * 6
    flipped = [case(patient.image, patient.label[..., ::-1]) for patient in loaded]
    assert sum(2 in mirrored_axes(patient) for patient in flipped) >= 4
