from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from benchbench.images.label_files import label_content, label_suffix
from benchbench.images.label_maps import read_label_map

LABELS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 5
AFFINE = np.array([[0.0, 0, -2, 10], [-1, 0, 0, 20], [0, -3, 0, 30], [0, 0, 0, 1]])
QFORM = np.array([[0.0, 0, -2, 11], [-1, 0, 0, 20], [0, -3, 0, 30], [0, 0, 0, 1]])
HEADER_FIELDS = (
    *("pixdim", "sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "xyzt_units"),
)


def write_image(path: Path, kind: type, *, scaled: bool = False) -> nib.spatialimages.SpatialImage:
    image = kind(np.ones((2, 3, 4), np.float32), None)
    image.header.set_sform(AFFINE, 2)
    image.header.set_qform(QFORM, 1)
    image.header.set_xyzt_units("mm", "sec")
    image.header["cal_max"] = 7
    if scaled:
        image.header.set_data_dtype(np.int16)
        image.header.set_slope_inter(0.5, 3)
    nib.save(image, path)
    return image


def round_trip(folder: Path, image: Path, labels: np.ndarray) -> np.ndarray:
    path = folder / f"label{label_suffix(image)}"
    path.write_bytes(label_content(labels, image, affine=None))
    return read_label_map(path).voxels


@pytest.mark.parametrize("kind", [nib.nifti1.Nifti1Image, nib.nifti2.Nifti2Image])
@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_a_nifti_label_keeps_both_affines_of_its_image(tmp_path: Path, name: str, kind: type) -> None:
    path = tmp_path / name
    write_image(path, kind, scaled=True)
    assert (round_trip(tmp_path, path, LABELS) == LABELS).all()
    image, label = nib.load(path), nib.load(tmp_path / f"label{label_suffix(path)}")
    assert type(label) is kind
    for field in HEADER_FIELDS:
        np.testing.assert_array_equal(label.header[field], image.header[field], err_msg=field)
    assert label.header.get_data_dtype() == np.uint8
    assert label.header["cal_max"] == 0
    assert np.isnan(label.header["scl_slope"]) or label.header["scl_slope"] == 0


def test_a_big_endian_image_has_a_label_too(tmp_path: Path) -> None:
    header = nib.nifti1.Nifti1Header(endianness=">")
    image = nib.nifti1.Nifti1Image(np.ones((2, 3, 4), ">f4"), AFFINE, header)
    nib.save(image, tmp_path / "image.nii")
    assert (round_trip(tmp_path, tmp_path / "image.nii", LABELS) == LABELS).all()
    np.testing.assert_array_equal(nib.load(tmp_path / "label.nii").affine, AFFINE)


def test_a_file_with_all_channels_has_a_label_of_three_axes(tmp_path: Path) -> None:
    image = nib.nifti1.Nifti1Image(np.ones((2, 3, 4, 5), np.float32), AFFINE)
    nib.save(image, tmp_path / "image.nii.gz")
    assert round_trip(tmp_path, tmp_path / "image.nii.gz", LABELS).shape == (2, 3, 4)


def test_the_ending_decides_on_compression_not_the_content_of_the_image(tmp_path: Path) -> None:
    path = tmp_path / "image.nii"
    write_image(tmp_path / "image.nii.gz", nib.nifti1.Nifti1Image)
    path.write_bytes((tmp_path / "image.nii.gz").read_bytes())
    assert not label_content(LABELS, path, affine=None).startswith(b"\x1f\x8b")
    path.write_bytes(gzip.decompress(path.read_bytes()))
    assert (round_trip(tmp_path, path, LABELS) == LABELS).all()


@pytest.mark.parametrize("slices", [1, 2, 3, 4])  # three or four pages could be taken for colours
def test_a_stack_of_tiff_pages_stays_a_stack(tmp_path: Path, slices: int) -> None:
    path = tmp_path / "image.TIF"
    tifffile.imwrite(path, np.zeros((slices, 5, 6), np.uint16), photometric="minisblack")
    labels = np.arange(slices * 30, dtype=np.uint8).reshape(slices, 5, 6)
    assert round_trip(tmp_path, path, labels).reshape(labels.shape).tolist() == labels.tolist()


def test_a_png_label_has_the_size_of_its_image(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((3, 4, 3), np.uint8)).save(tmp_path / "image.png")
    assert round_trip(tmp_path, tmp_path / "image.png", LABELS[0]).tolist() == LABELS[0].tolist()


def test_an_nrrd_label_keeps_its_place(tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd")
    header = {"space": "left-posterior-superior", "space directions": 2.0 * np.eye(3), "space origin": [1.0, 2, 3]}
    nrrd.write(str(tmp_path / "image.nrrd"), np.zeros((2, 3, 4), np.int16), header)
    assert (round_trip(tmp_path, tmp_path / "image.nrrd", LABELS) == LABELS).all()
    label = read_label_map(tmp_path / "label.nrrd")
    assert label.spacing_mm == (2, 2, 2)
    assert np.asarray(label.affine).tolist() == [[-2, 0, 0, -1], [0, -2, 0, -2], [0, 0, 2, 3], [0, 0, 0, 1]]


def test_an_image_of_an_unknown_format_has_a_nifti_label_with_its_affine(tmp_path: Path) -> None:
    (tmp_path / "image.npz").touch()
    assert label_suffix(tmp_path / "image.npz") == ".nii.gz"
    content = label_content(LABELS, tmp_path / "image.npz", affine=AFFINE)
    label = nib.nifti1.Nifti1Image.from_bytes(gzip.decompress(content))
    np.testing.assert_array_equal(label.affine, AFFINE)
