"""Reading label maps of every format, and refusing other files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

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
        DataError, match=r"a\.nrrd: NRRD needs nrrd, which is not installed; pip install 'benchbench\[nrrd\]'"
    ):
        read_label_map(tmp_path / "a.nrrd")


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (np.full((8, 8), 0.5, np.float32), r"found fractional labels, 0\.5 \(64 voxels\).*; apply a threshold to"),
        (
            np.full((8, 8), 1.5, np.float32),
            r"1\.5 \(64 voxels\), expected whole numbers; resample masks with near",
        ),
        (
            np.full((8, 8), np.nan, np.float32),
            "found 64 voxels that are nan and 0 that are infinite, expected num",
        ),
        (np.full((8, 8), -1, np.int16), r"found labels out of range, -1 \(64 voxels\), expected 0 to 65535"),
        (np.full((8, 8), 70000, np.uint32), r"found labels out of range, 70000 \(64 voxels\)"),
        (np.full((8, 8), 1j), r"found complex128 \(8, 8\), expected labels from 0 to 65535"),
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


def discs() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the slices of a reference and of a prediction whose Dice is 0.3018 over the whole stack."""
    rows, columns = np.mgrid[:40, :36]
    disc = ((rows - 18) ** 2 + (columns - 15) ** 2 <= 81).astype(np.uint8)
    other = ((rows - 20) ** 2 + (columns - 17) ** 2 <= 64).astype(np.uint8)
    empty = np.zeros_like(disc)
    return [disc, disc, np.roll(disc, 3, axis=0), empty], [other, empty, empty, other]


def append_all(path: Path, slices: list[np.ndarray], **options: object) -> None:
    for plane in slices:
        tifffile.imwrite(path, plane, append=True, **options)


@pytest.mark.parametrize("options", [{}, {"metadata": None}, {"compression": "zlib"}, {"bigtiff": True}])
def test_slices_that_were_appended_one_by_one_are_a_stack(tmp_path: Path, options: dict[str, object]) -> None:
    reference, prediction = discs()
    append_all(tmp_path / "a.tif", reference, **options)
    append_all(tmp_path / "b.tif", prediction, **options)
    first, second = (read_label_map(tmp_path / name).voxels for name in ("a.tif", "b.tif"))
    assert np.array_equal(first, np.stack(reference))
    dice = 2 * np.count_nonzero(first * second) / (first.sum() + second.sum())
    assert dice == pytest.approx(0.3018, abs=5e-5)


def test_appended_slices_keep_their_order_if_they_differ_in_type(tmp_path: Path) -> None:
    planes = [np.full((8, 6), value, dtype) for value, dtype in ((1, "u1"), (300, "u2"), (2, "u1"))]
    append_all(tmp_path / "a.tif", planes)
    assert read_label_map(tmp_path / "a.tif").voxels[:, 0, 0].tolist() == [1, 300, 2]


def test_appended_images_of_several_sizes_are_refused_with_the_sizes(tmp_path: Path) -> None:
    append_all(tmp_path / "a.tif", [np.zeros((8, 6), np.uint8), np.zeros((4, 3), np.uint8)])
    with pytest.raises(
        DataError, match=r"a\.tif: found pages of \(8, 6\) and \(4, 3\), expected slices of one size"
    ):
        read_label_map(tmp_path / "a.tif")


@pytest.mark.parametrize("count", [3, 4])
def test_a_small_stack_stored_as_planes_of_colours_is_a_stack(tmp_path: Path, count: int) -> None:
    stack = np.arange(count * 48).reshape(count, 8, 6).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="rgb", planarconfig="separate")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].samplesperpixel == count
    assert np.array_equal(read_label_map(tmp_path / "a.tif").voxels, stack)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_png_holds_the_indices_of_its_palette(tmp_path: Path, bits: int) -> None:
    labels = np.arange(48).reshape(6, 8).astype(np.uint8) % min(2**bits, 22)
    image = Image.fromarray(labels).convert("L")
    image.putpalette([value for index in range(2**bits) for value in (index * 7 % 256, 255, 0)])
    image.save(tmp_path / "a.png", bits=bits)
    assert (tmp_path / "a.png").read_bytes()[24:26] == bytes([bits, 3])  # depth, and the type of a palette
    assert np.array_equal(read_label_map(tmp_path / "a.png").voxels, labels)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_values_of_a_png_are_never_rescaled(tmp_path: Path, bits: int) -> None:
    labels = np.arange(48).reshape(6, 8) % 2**bits
    (tmp_path / "a.png").write_bytes(grey_png(labels, bits=bits))
    assert np.array_equal(read_label_map(tmp_path / "a.png").voxels, labels)


def grey_png(values: np.ndarray, *, bits: int) -> bytes:
    """Return a grey PNG whose samples have this number of bits, each row without a filter."""
    height, width = values.shape
    rows = b""
    for row in values:
        digits = "".join(f"{value:0{bits}b}" for value in row)
        rows += b"\0" + int(digits, 2).to_bytes(len(digits) // 8, "big")
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.mha: found a name of an unknown format, expected \.nii\.gz, \.nii"):
        read_label_map(tmp_path / "a.mha")


def test_labels_up_to_a_ten_thousandth_off_are_rounded_and_others_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.array([[1.00009, 0.0], [1.99991, 3.0]]))
    assert read_label_map(path).voxels.tolist() == [[1, 0], [2, 3]]
    tifffile.imwrite(path, np.array([[1.00011, 0.0], [1.99991, 3.0]]))
    with pytest.raises(DataError, match=r"found fractional labels, 1\.00011"):
        read_label_map(path)
