"""Tests of the pictures of a case that a run saves for galleries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from handmade_case import keep_slices, keep_volume, keep_with_affine

from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.planes import Plane
from benchbench.metrics.masks import unpack
from benchbench.run.gallery_pictures import MOST_PLANES, further_rows, picture_rows


def bright(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_the_slice_with_the_largest_reference_is_saved_with_the_mask_of_every_region(tmp_path: Path) -> None:
    label = np.zeros((3, 32, 32), np.uint8)
    label[0, 4:6, 4:6] = 1
    label[1, 8:20, 8:12] = 1
    label[1, 9:11, 9:11] = 3  # in both regions
    case = keep_slices(tmp_path, bright((3, 1, 32, 32)), label)
    (row,) = picture_rows(case, ["whole", "core"], {"core": "#ff0000"})
    assert (row["at"], row["name"]) == (1, "slice 2 of 3")
    assert [(mask["region"], mask["colour"]) for mask in row["truth"]] == [("whole", ""), ("core", "#ff0000")]
    whole, core = (unpack(mask) for mask in row["truth"])
    assert np.array_equal(whole, label[1] > 0)
    assert np.array_equal(core, label[1] == 3)


def test_three_planes_through_the_reference_of_a_volume_are_saved(tmp_path: Path) -> None:
    label = np.zeros((6, 7, 8), np.uint8)
    label[4, 2, 5] = 1
    rows = list(picture_rows(keep_volume(tmp_path, bright((1, 6, 7, 8)), label), ["spot"], {}))
    assert [(row["axis"], row["at"]) for row in rows] == [(0, 4), (1, 2), (2, 5)]
    assert [int(unpack(row["truth"][0]).sum()) for row in rows] == [1, 1, 1]


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_mask_that_is_cut_later_matches_the_saved_reference(tmp_path: Path, ndim: int) -> None:
    label = (bright((32, 32, 32)) > 200).astype(np.uint8)
    if ndim == 2:
        case = keep_slices(tmp_path, bright((32, 1, 32, 32)), label)
    else:
        case = keep_volume(tmp_path, bright((1, 32, 32, 32)), label)
    for row in picture_rows(case, ["any"], {}):
        assert np.array_equal(Plane.of(row).cut(label > 0), unpack(row["truth"][0]))
        assert cv2.imdecode(np.frombuffer(row["image"], np.uint8), cv2.IMREAD_GRAYSCALE).shape == (32, 32)


def test_a_case_with_an_empty_reference_shows_its_middle_slice(tmp_path: Path) -> None:
    case = keep_slices(tmp_path, bright((5, 1, 32, 32)), np.zeros((5, 32, 32), np.uint8))
    (row,) = picture_rows(case, ["none"], {})
    assert row["at"] == 2


def chosen_plane(case: PreparedCase) -> Plane:
    return Plane.of(next(picture_rows(case, ["spot"], {})))


def grey(row: dict[str, Any]) -> np.ndarray:
    decoded = cv2.imdecode(np.frombuffer(row["image"], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert decoded is not None
    return np.asarray(decoded)


def test_further_slices_are_evenly_spaced_from_the_first_to_the_last_one(tmp_path: Path) -> None:
    label = np.zeros((29, 16, 16), np.uint8)
    label[6, 4:8, 4:8] = 1
    case = keep_slices(tmp_path, bright((29, 1, 16, 16)), label)
    first = chosen_plane(case)
    rows = list(further_rows(case, first, ["spot"], {"spot": "#ff0000"}))
    assert [row["at"] for row in rows] == [at for at in range(0, 29, 2) if at != 6]
    assert len(rows) == MOST_PLANES - 1, "the chosen slice is one of them"
    assert [row["name"] for row in rows][:2] == ["slice 1 of 29", "slice 3 of 29"]
    assert {row["truth"][0]["colour"] for row in rows} == {"#ff0000"}


@pytest.mark.parametrize("slices", [1, 4])
def test_a_case_of_few_slices_has_all_others(tmp_path: Path, slices: int) -> None:
    case = keep_slices(tmp_path, bright((slices, 1, 16, 16)), np.ones((slices, 16, 16), np.uint8))
    rows = further_rows(case, chosen_plane(case), ["spot"], {})
    assert [row["at"] for row in rows] == list(range(1, slices))


@pytest.mark.parametrize("ndim", [2, 3])
def test_further_slices_have_the_reference_of_their_own_position(tmp_path: Path, ndim: int) -> None:
    label = (bright((12, 20, 18)) > 200).astype(np.uint8)
    image = bright((12, 1, 20, 18)) if ndim == 2 else bright((1, 12, 20, 18))
    case = keep_slices(tmp_path, image, label) if ndim == 2 else keep_volume(tmp_path, image, label)
    first = chosen_plane(case)
    rows = list(further_rows(case, first, ["any"], {}))
    assert len(rows) == 11
    for row in rows:
        plane = Plane.of(row)
        assert plane._replace(at=first.at, name=first.name) == first
        assert np.array_equal(plane.cut(label > 0), unpack(row["truth"][0]))


def test_all_slices_of_a_case_have_the_brightness_of_the_chosen_one(tmp_path: Path) -> None:
    image = np.zeros((2, 1, 32, 32), np.uint8)
    image[0, 0, 8:24, 8:24] = 200
    image[1, 0, 8:24, 8:24] = 100
    label = np.zeros((2, 32, 32), np.uint8)
    label[0, 10:20, 10:20] = 1
    case = keep_slices(tmp_path, image, label)
    (dark,) = further_rows(case, chosen_plane(case), ["spot"], {})
    assert grey(next(picture_rows(case, ["spot"], {})))[16, 16] > 250
    assert abs(int(grey(dark)[16, 16]) - 127) < 4, "100 of 200 is half as bright"


def test_pictures_of_further_slices_are_small(tmp_path: Path) -> None:
    case = keep_slices(tmp_path, bright((2, 1, 400, 300)), np.ones((2, 400, 300), np.uint8))
    (row,) = further_rows(case, chosen_plane(case), ["spot"], {})
    assert grey(row).shape == (192, 144)
    assert unpack(row["truth"][0]).shape == (400, 300)


AFFINES = [
    np.diag([*signs, 1.0])[[*order, 3]]
    for signs in ((1, 1, 1), (-1, -1, 1), (-1, 1, -1), (1, -1, -1))
    for order in ((0, 1, 2), (2, 0, 1), (1, 0, 2))
]
"""Affines of different directions and orders of axes; world axes run to right, anterior and superior."""


def marked(affine: np.ndarray) -> np.ndarray:
    """A label map of one voxel, which is far to the patient's right, front and top."""
    corners = np.indices((2, 2, 2)).reshape(3, -1).T * 31
    corner = max(corners.tolist(), key=lambda index: float((affine[:3, :3] @ index).sum()))
    label = np.zeros((32, 32, 32), np.uint8)
    label[tuple(corner)] = 1
    return label


@pytest.mark.parametrize("slice_axis", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("affine", AFFINES)
def test_slices_show_the_right_of_the_patient_on_the_left(
    tmp_path: Path, affine: np.ndarray, slice_axis: str
) -> None:
    case = keep_with_affine(tmp_path / "case", marked(affine), affine, slice_axis=slice_axis)
    (row,) = picture_rows(case, ["spot"], {})
    assert tuple(row["sides"]) == (("A", "P") if slice_axis == "sagittal" else ("R", "L"))
    assert np.argwhere(unpack(row["truth"][0])).tolist() == [[0, 0]]
    picture = cv2.imdecode(np.frombuffer(row["image"], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture[0, 0] > 150 > picture[-1, -1]


@pytest.mark.parametrize("affine", AFFINES)
def test_planes_of_a_volume_show_the_right_of_the_patient_on_the_left(tmp_path: Path, affine: np.ndarray) -> None:
    case = keep_with_affine(tmp_path / "case", marked(affine), affine, slice_axis=None)
    rows = list(picture_rows(case, ["spot"], {}))
    assert [(row["name"], *row["sides"]) for row in rows] == [
        ("axial", "R", "L"),
        ("coronal", "R", "L"),
        ("sagittal", "A", "P"),
    ]
    for row in rows:
        assert np.argwhere(unpack(row["truth"][0])).tolist() == [[0, 0]]


def test_without_an_affine_no_side_is_named(tmp_path: Path) -> None:
    case = keep_slices(tmp_path, bright((3, 1, 32, 32)), np.ones((3, 32, 32), np.uint8))
    (row,) = picture_rows(case, ["any"], {})
    assert tuple(row["sides"]) == ("", "")
    older = {name: value for name, value in row.items() if name != "sides"}
    assert Plane.of(older).sides == ("", "")


def test_a_transposed_and_flipped_plane_cuts_masks_the_same_way() -> None:
    volume = np.arange(24).reshape(2, 3, 4)
    plane = Plane("x", 0, 1, (0, 2), (1, 4), transposed=True, flipped=(True, False))
    assert plane.cut(volume).tolist() == [[15, 19], [14, 18], [13, 17]]
