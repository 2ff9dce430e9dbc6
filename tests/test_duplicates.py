from __future__ import annotations

import numpy as np
import pytest

from benchbench import Case, CaseRef
from benchbench.data.duplicates import near_duplicates, thumbnail

RNG = np.random.default_rng(0)


def image(seed: int, shape: tuple[int, ...] = (2, 30, 40, 40)) -> np.ndarray:
    """Return blocks of random brightness, large enough to be visible in a thumbnail."""
    coarse = np.random.default_rng(seed).integers(0, 200, (shape[0], *(-(-length // 10) for length in shape[1:])))
    for axis, length in enumerate(shape[1:], start=1):
        coarse = np.repeat(coarse, 10, axis=axis).take(range(length), axis=axis)
    return coarse.astype(np.int16)


def case(voxels: np.ndarray) -> Case:
    return Case(image=voxels, label=np.zeros(voxels.shape[1:], np.uint8), affine=None, spacing_mm=None)


def remarks(*images: np.ndarray, patients: str = "ab") -> list[str]:
    refs = [CaseRef(f"case {number}", patient) for number, patient in enumerate(patients)]
    thumbnails = [thumbnail(case(voxels)) for voxels in images]
    return list(near_duplicates(list(zip(refs, thumbnails, strict=True))))


@pytest.mark.parametrize(
    "change",
    [
        lambda voxels: voxels,
        lambda voxels: voxels * 3.5 + 20,
        lambda voxels: (voxels / 4).astype(np.uint8),
        lambda voxels: voxels + RNG.normal(0, 2, voxels.shape),
    ],
    ids=["same", "scaled", "requantised", "noisy"],
)
def test_a_near_duplicate_under_another_patient_is_found(change: object) -> None:
    assert callable(change)
    (line,) = remarks(image(1), change(image(1)))
    assert line.startswith("case 1: its image is nearly the same as case 0 of another patient")


def test_different_images_and_images_of_one_patient_are_not_reported() -> None:
    assert remarks(image(1), image(2)) == []
    assert remarks(image(1), image(1), patients="aa") == []


def test_images_of_different_shapes_are_compared_if_their_thumbnails_fit() -> None:
    assert remarks(image(1, (2, 30, 40, 40)), image(2, (2, 60, 40, 40))) == []
    assert remarks(image(1, (1, 5, 8, 8)), image(2)) == []


def test_a_constant_channel_is_no_near_duplicate() -> None:
    assert remarks(np.zeros((2, 30, 40, 40)), image(2)) == []
