"""Reading label maps of every format, and refusing other files."""

from __future__ import annotations

from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
import tifffile

from benchbench import DataError
from benchbench.images.label_maps import read_label_map

LABELS = np.array([[[0, 1, 2], [4, 0, 1]], [[0, 0, 0], [2, 2, 300]]], dtype=np.uint16)
AFFINE = np.array([[-1.0, 0, 0, 9], [0, -2, 0, 8], [0, 0, 3, 5], [0, 0, 0, 1]])


def test_nifti_has_an_affine_and_spacing(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(LABELS, AFFINE), path)
    label_map = read_label_map(path)
    assert np.array_equal(label_map.voxels, LABELS)
    assert label_map.affine is not None
    assert np.allclose(label_map.affine, AFFINE)
    assert label_map.spacing_mm == (1, 2, 3)


@pytest.mark.parametrize(("name", "labels"), [("a.tif", LABELS), ("a.TIFF", LABELS[0]), ("a.png", LABELS[0])])
def test_tiff_and_png_have_stored_labels_and_no_spacing(tmp_path: Path, name: str, labels: np.ndarray) -> None:
    path = tmp_path / name
    if name.endswith("png"):
        cv2.imwrite(str(path), labels)
    else:
        tifffile.imwrite(path, labels, photometric="minisblack")
    label_map = read_label_map(path)
    assert np.array_equal(label_map.voxels, labels)
    assert (label_map.affine, label_map.spacing_mm) == (None, None)


def test_whole_numbers_stored_as_floats_are_labels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(np.float32), photometric="minisblack")
    voxels = read_label_map(tmp_path / "a.tif").voxels
    assert np.array_equal(voxels, LABELS)
    assert voxels.dtype == np.uint16


def test_nrrd_in_lps_coordinates_has_the_affine_of_the_same_nifti(tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd")
    header = {
        "space": "left-posterior-superior",
        "space directions": np.diag([1.0, 2, 3]),
        "space origin": np.array([-9.0, -8, 5]),
    }
    nrrd.write(str(tmp_path / "a.seg.nrrd"), LABELS, header)
    label_map = read_label_map(tmp_path / "a.seg.nrrd")
    assert np.array_equal(label_map.voxels, LABELS)
    assert label_map.affine is not None
    assert np.allclose(label_map.affine, AFFINE)
    assert label_map.spacing_mm == (1, 2, 3)
    nrrd.write(str(tmp_path / "b.nrrd"), LABELS, {"spacings": [0.5, 0.5, 2]})
    assert read_label_map(tmp_path / "b.nrrd")[1:] == (None, (0.5, 0.5, 2))


def test_nrrd_without_pynrrd_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nrrd", None)
    with pytest.raises(
        DataError, match=r"a\.nrrd: NRRD needs a package that is not installed; pip install pynrrd"
    ):
        read_label_map(tmp_path / "a.nrrd")


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (np.full((8, 8), 0.5, np.float32), "found fractional values, expected whole numbers; save labels"),
        (np.full((8, 8), np.nan, np.float32), "found fractional values"),
        (np.full((8, 8), -1, np.int16), "found int16 from -1 to -1, expected labels from 0 to 65535"),
        (np.full((8, 8), 70000, np.uint32), "found uint32 from 70000 to 70000"),
        (np.zeros((8, 8, 3), np.uint8), "found 3 samples per pixel, expected one; save the label values"),
        (np.zeros((2, 2, 2, 2), np.uint8), r"shape \(2, 2, 2, 2\)"),
    ],
)
def test_arrays_that_are_no_label_maps_are_refused(tmp_path: Path, voxels: np.ndarray, message: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", voxels)
    with pytest.raises(DataError, match=message):
        read_label_map(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.nii", "a.nii.gz", "a.nrrd"])
@pytest.mark.parametrize("content", [None, b"", b"<!doctype html>"])
def test_a_missing_or_foreign_file_is_refused_by_name(tmp_path: Path, name: str, content: bytes | None) -> None:
    if name.endswith("nrrd"):
        pytest.importorskip("nrrd")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: found .*, expected .*; "):
        read_label_map(tmp_path / name)


def test_a_coloured_png_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="found 3 samples per pixel, expected one"):
        read_label_map(tmp_path / "a.png")


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.mha: found a name of an unknown format, expected \.nii\.gz, \.nii"):
        read_label_map(tmp_path / "a.mha")


def test_labels_up_to_a_ten_thousandth_off_are_rounded_and_others_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.array([[1.00009, 0.0], [1.99991, 3.0]]))
    assert read_label_map(path).voxels.tolist() == [[1, 0], [2, 3]]
    tifffile.imwrite(path, np.array([[1.00011, 0.0], [1.99991, 3.0]]))
    with pytest.raises(DataError, match="found fractional values, expected whole numbers"):
        read_label_map(path)
