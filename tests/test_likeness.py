from __future__ import annotations

import numpy as np
import pytest

from benchbench import Case, CaseRef
from benchbench.data.likeness import near_twins, thumbnail

RNG = np.random.default_rng(0)


def image(seed: int, shape: tuple[int, ...] = (2, 30, 40, 40)) -> np.ndarray:
    """Blocks of random brightness, as anatomy has, at a scale that a thumbnail shows."""
    coarse = np.random.default_rng(seed).integers(0, 200, (shape[0], *(-(-length // 10) for length in shape[1:])))
    for axis, length in enumerate(shape[1:], start=1):
        coarse = np.repeat(coarse, 10, axis=axis).take(range(length), axis=axis)
    return coarse.astype(np.int16)


def case(voxels: np.ndarray) -> Case:
    return Case(image=voxels, label=np.zeros(voxels.shape[1:], np.uint8), affine=None, spacing_mm=None)


def found(*images: np.ndarray, patients: str = "ab") -> list[str]:
    refs = [CaseRef(f"case {number}", patient) for number, patient in enumerate(patients)]
    return list(near_twins([(ref, thumbnail(case(each))) for ref, each in zip(refs, images, strict=True)]))


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
def test_a_copy_under_another_patient_is_found(change: object) -> None:
    assert callable(change)
    (line,) = found(image(1), change(image(1)))
    assert line.startswith("case 1: its image is like that of case 0 of another patient")


def test_different_images_and_images_of_one_patient_are_not_told() -> None:
    assert found(image(1), image(2)) == []
    assert found(image(1), image(1), patients="aa") == []


def test_images_of_other_shapes_are_compared_where_their_thumbnails_can_be() -> None:
    assert found(image(1, (2, 30, 40, 40)), image(2, (2, 60, 40, 40))) == []
    assert found(image(1, (1, 5, 8, 8)), image(2)) == []


def test_a_constant_channel_does_no_harm() -> None:
    assert found(np.zeros((2, 30, 40, 40)), image(2)) == []
