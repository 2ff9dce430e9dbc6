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


def test_a_label_where_it_belongs_is_not_remarked_on() -> None:
    assert mirrored_axes(case(*heart())) == []


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_label_is_found_with_its_axis(axis: int) -> None:
    image, label = heart()
    assert mirrored_axes(case(image, np.flip(label, axis))) == [axis]


def test_any_channel_may_show_it() -> None:
    image, label = heart()
    rng = np.random.default_rng(1)
    images = np.concatenate([rng.normal(0, 1, image.shape), image])
    assert mirrored_axes(case(images, np.flip(label, 1))) == [1]


def test_nothing_is_said_where_nothing_can_be_seen() -> None:
    image, label = heart(noise=400.0)
    for odd in (np.flip(label, 0), np.zeros_like(label), np.ones_like(label)):
        assert mirrored_axes(case(image, odd)) == []
    assert mirrored_axes(case(np.zeros_like(image), label)) == []


def test_verifying_remarks_on_it(squares: Path) -> None:
    from toy_plugin import Squares

    folder = squares / "squares"
    path = folder / "patient00-a.npz"
    with np.load(path) as stored:
        image, label = stored["image"], stored["label"]
    np.savez(path, image=image, label=label[..., ::-1])
    found = verify(Squares(folder), threads=1, progress=lambda: None)
    assert any(remark.startswith("patient00-a: the label fits the image better") for remark in found.remarks)


@pytest.mark.real
def test_no_label_of_a_real_patient_is_remarked_on_and_most_mirrored_ones_are() -> None:
    if not REAL.is_dir():
        pytest.skip(f"no real patients in {REAL}")
    dataset = discover(["lgg"]).dataset("lgg").open(REAL)
    loaded = [dataset.load(each.id) for each in dataset.cases()[:6]]
    assert [mirrored_axes(each) for each in loaded] == [[]] * 6
    flipped = [case(each.image, each.label[..., ::-1]) for each in loaded]
    assert sum(2 in mirrored_axes(each) for each in flipped) >= 4
