"""Reading NIfTI files, valid ones and all kinds of damaged ones."""

from __future__ import annotations

import gzip
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from benchbench import DataError
from benchbench.images import nifti
from benchbench.images.nifti import Volume, check_same_grid, read_image, read_label

VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
LPS = np.array([[-1.0, 0, 0, 0], [0, -2, 0, 239], [0, 0, 3, 5], [0, 0, 0, 1]])
# offsets of the fields of a NIfTI-1 header in bytes
DIM, DATATYPE, PIXDIM, VOX_OFFSET, SLOPE, INTER, UNITS = 40, 70, 76, 108, 112, 116, 123
QFORM_CODE, SFORM_CODE, QUATERN, SROW, MAGIC = 252, 254, 256, 280, 344

Patch = tuple[int, str, float]


def nifti_bytes(voxels: np.ndarray = VOXELS, *patches: Patch, affine: np.ndarray = LPS) -> bytes:
    """Return a file of these voxels, with each (offset, struct format, value) written over it."""
    data = bytearray(nibabel.Nifti1Image(voxels, affine, dtype=voxels.dtype).to_bytes())
    for offset, kind, value in patches:
        struct.pack_into(f"<{kind}", data, offset, value)
    return bytes(data)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(data: bytes, name: str = "a.nii") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def fault(path: Path, *, read: Callable[[Path], Volume] = read_image) -> str:
    """Return the one problem that reading raises, without the path at its start."""
    with pytest.raises(DataError) as caught:
        read(path)
    (problem,) = caught.value.problems
    assert re.fullmatch(rf"{re.escape(str(path))}: found .+, expected .+; .+", problem), problem
    return problem.removeprefix(f"{path}: ")


# valid files


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_voxels_affine_and_spacing_are_read_as_stored(write: Callable[..., Path], name: str) -> None:
    volume = read_image(write(nifti_bytes(), name))
    assert volume.voxels.dtype == np.int16
    assert np.array_equal(volume.voxels, VOXELS)
    assert np.array_equal(volume.affine, LPS)
    assert volume.spacing_mm == (1, 2, 3)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.NII.GZ", "a"])
@pytest.mark.parametrize("is_gzip", [True, False])
def test_gzip_is_recognised_by_content_not_by_name(tmp_path: Path, name: str, is_gzip: bool) -> None:
    (tmp_path / name).write_bytes(gzip.compress(nifti_bytes()) if is_gzip else nifti_bytes())
    assert np.array_equal(read_image(tmp_path / name).voxels, VOXELS)


@pytest.mark.parametrize(
    "dtype", ["i1", "u1", "<i2", ">i2", ">u2", "<u4", ">i4", "<i8", ">u8", ">f4", "<f8", ">f8"]
)
@pytest.mark.parametrize("image", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_every_type_and_byte_order_is_read_in_native_order(
    tmp_path: Path, dtype: str, image: type[nibabel.Nifti1Image]
) -> None:
    header = image.header_class(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(dtype)
    nibabel.save(image(VOXELS.astype(dtype), LPS, header), tmp_path / "a.nii")
    volume = read_image(tmp_path / "a.nii")
    assert np.array_equal(volume.voxels, VOXELS)
    assert volume.voxels.dtype == np.dtype(dtype).newbyteorder("=")
    assert volume.voxels.dtype.isnative
    assert np.array_equal(volume.affine, LPS)


def test_large_unsigned_values_stay_positive(write: Callable[..., Path]) -> None:
    assert read_image(write(nifti_bytes(np.full((2, 2, 2), 65535, np.uint16)))).voxels.max() == 65535


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_the_array_of_an_image_is_writeable(write: Callable[..., Path], name: str) -> None:
    assert read_image(write(nifti_bytes(), name)).voxels.flags.writeable


def test_slope_and_intercept_of_the_header_are_applied(write: Callable[..., Path]) -> None:
    path = write(nifti_bytes(VOXELS, (SLOPE, "f", 0.5), (INTER, "f", 3)))
    assert np.array_equal(read_image(path).voxels, VOXELS * 0.5 + 3)


@pytest.mark.parametrize(("slope", "inter"), [(1, 0), (0, 7), (np.nan, np.nan)])
def test_an_identity_or_absent_scaling_keeps_the_stored_type(
    write: Callable[..., Path], slope: float, inter: float
) -> None:
    voxels = read_image(write(nifti_bytes(VOXELS, (SLOPE, "f", slope), (INTER, "f", inter)))).voxels
    assert voxels.dtype == np.int16
    assert np.array_equal(voxels, VOXELS)


def test_a_fourth_axis_of_one_is_dropped(write: Callable[..., Path]) -> None:
    assert np.array_equal(read_image(write(nifti_bytes(VOXELS[..., None]))).voxels, VOXELS)


def test_a_header_extension_is_skipped(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS, LPS)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 100))
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert np.array_equal(read_image(tmp_path / "a.nii.gz").voxels, VOXELS)


def test_a_gzip_file_of_several_members_is_read_whole(tmp_path: Path) -> None:
    data = nifti_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(data[:360]) + gzip.compress(data[360:]))
    assert np.array_equal(read_image(tmp_path / "a.nii.gz").voxels, VOXELS)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("piece", [1, 5, 48, 2**19])  # the voxels have 48 bytes
def test_voxels_do_not_depend_on_how_many_bytes_are_decoded_at_a_time(
    write: Callable[..., Path], name: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nifti, "_PIECE_BYTES", piece)
    assert np.array_equal(read_image(write(nifti_bytes(), name)).voxels, VOXELS)
    assert "found 400 bytes" in fault(write(nifti_bytes(VOXELS, (DIM + 6, "h", 3)), name))
    too_few = fault(write(nifti_bytes(VOXELS, (DIM + 6, "h", 5)), name))
    assert re.search(r"found (at most )?400 bytes", too_few)


def test_an_image_of_several_pieces_is_read_whole_and_its_checksum_verified(write: Callable[..., Path]) -> None:
    noise = np.random.default_rng(0).integers(0, 999, (70, 90, 110)).astype(np.int16)  # 1.4 MB
    path = write(nifti_bytes(noise), "a.nii.gz")
    assert np.array_equal(read_image(path).voxels, noise)
    data = path.read_bytes()
    path.write_bytes(data[:-8] + bytes([data[-8] ^ 1]) + data[-7:])
    assert fault(path).startswith("found a damaged gzip stream (CRC check failed")


# orientation and position


def test_the_sform_has_priority_over_the_qform(write: Callable[..., Path]) -> None:
    path = write(nifti_bytes(VOXELS, (QFORM_CODE, "h", 1), (SROW + 12, "f", 77)))
    assert read_image(path).affine[0, 3] == 77


def test_the_qform_is_used_without_an_sform(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS, LPS)
    image.set_sform(None, code=0)
    image.set_qform(LPS, code=1)
    nibabel.save(image, tmp_path / "a.nii")
    assert np.allclose(read_image(tmp_path / "a.nii").affine, LPS)


def test_a_qfac_of_0_means_1(write: Callable[..., Path]) -> None:
    codes = [(SFORM_CODE, "h", 0), (QFORM_CODE, "h", 1), (PIXDIM, "f", 0), (QUATERN + 8, "f", 1)]
    assert np.allclose(np.diag(read_image(write(nifti_bytes(VOXELS, *codes))).affine), [-1, -2, 3, 1])


def test_without_sform_and_qform_the_affine_is_the_voxel_size(write: Callable[..., Path]) -> None:
    volume = read_image(write(nifti_bytes(VOXELS, (SFORM_CODE, "h", 0), (QFORM_CODE, "h", 0))))
    assert np.array_equal(volume.affine, np.diag([1, 2, 3, 1]))


def test_a_qform_that_is_no_rotation_is_refused(write: Callable[..., Path]) -> None:
    codes = [(SFORM_CODE, "h", 0), (QFORM_CODE, "h", 1), (QUATERN, "f", 5)]
    assert fault(write(nifti_bytes(VOXELS, *codes))).startswith("found a qform that is no rotation")


def test_voxel_sizes_of_affine_and_header_must_agree(write: Callable[..., Path]) -> None:
    for length in (1.02, 2):
        problem = fault(write(nifti_bytes(VOXELS, (PIXDIM + 4, "f", length))))
        expected = f"expected ({length:g}, 2, 3) mm as in pixdim; "
        assert problem.startswith(f"found voxels of (1, 2, 3) mm by the affine, {expected}")


def test_voxel_sizes_may_differ_by_less_than_one_percent(write: Callable[..., Path]) -> None:
    assert read_image(write(nifti_bytes(VOXELS, (PIXDIM + 4, "f", 1.009)))).affine[0, 0] == -1


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_an_affine_with_an_invalid_number_is_refused(write: Callable[..., Path], value: float) -> None:
    assert "by the affine" in fault(write(nifti_bytes(VOXELS, (SROW, "f", value))))


def test_an_affine_without_three_directions_is_refused(write: Callable[..., Path]) -> None:
    flat = [(SROW, "f", 0.0), (SROW + 16, "f", 1.0)]
    assert "axes are in one plane" in fault(write(nifti_bytes(VOXELS, *flat)))


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, 1e-9, 1e6])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_an_impossible_voxel_size_is_refused(write: Callable[..., Path], value: float, axis: int) -> None:
    assert fault(write(nifti_bytes(VOXELS, (PIXDIM + 4 * axis, "f", value)))).startswith("found spacing (")


@pytest.mark.parametrize(("unit", "name"), [(1, "metres"), (3, "micrometres")])
def test_a_unit_other_than_mm_is_refused(write: Callable[..., Path], unit: int, name: str) -> None:
    assert fault(write(nifti_bytes(VOXELS, (UNITS, "b", unit)))).startswith(
        f"found spacing in {name}, expected mm"
    )


# files that are not NIfTI


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1791271\n", "git lfs pull"),
        (b"/annex/objects/SHA256E-s1791271--4d7a.nii.gz\n", "git annex get"),
        (b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", "an HTML page"),
        (b"", "an empty file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(600), "another format"),
        (b"\0", "another format"),
    ],
)
def test_the_actual_content_of_a_wrong_file_is_named(tmp_path: Path, data: bytes, kind: str) -> None:
    (tmp_path / "a.nii.gz").write_bytes(data)
    assert kind in fault(tmp_path / "a.nii.gz")


def test_a_gzip_of_something_else_is_named(write: Callable[..., Path]) -> None:
    assert fault(write(b"Patient,age\n" * 99, "a.nii.gz")).startswith("found a gzip of something else")


def test_a_header_of_a_separate_image_file_is_refused(write: Callable[..., Path]) -> None:
    assert "a pair of .hdr and .img" in fault(write(nifti_bytes(VOXELS, (MAGIC + 1, "b", ord("i")))))


def test_a_folder_with_the_name_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.nii").mkdir()
    assert fault(tmp_path / "a.nii").startswith("found a folder")


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.nii")
    assert fault(tmp_path / "a.nii").startswith("found a pipe")


@pytest.mark.parametrize(
    ("target", "finding"),
    [
        ("absent.nii", "found a broken link to absent.nii"),
        ("a.nii", "found a broken link to a.nii"),
        (".git/annex/objects/4X/SHA256E-s9.nii", "found a git-annex link without its content"),
    ],
)
def test_a_broken_link_to_an_image_is_named(tmp_path: Path, target: str, finding: str) -> None:
    (tmp_path / "a.nii").symlink_to(target)
    assert fault(tmp_path / "a.nii").startswith(finding)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    assert fault(tmp_path / "a.nii").startswith("found no such file, expected a NIfTI file; copy it there")


def test_a_file_without_permission_is_named(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(nifti_bytes())
    monkeypatch.setattr(Path, "open", refuse)
    assert fault(path).startswith("found a file without permission to read it")


# damaged files


@pytest.mark.parametrize("size", [20, 0.5, 0.9, -8, -1])
def test_a_truncated_gzip_is_named(write: Callable[..., Path], size: float) -> None:
    noise = np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
    path = write(nifti_bytes(noise), "a.nii.gz")
    data = path.read_bytes()
    path.write_bytes(data[: int(size * len(data)) if 0 < size < 1 else int(size)])
    assert fault(path).startswith("found a truncated gzip stream of ")


@pytest.mark.parametrize("place", [0.2, 0.5, 0.99, -6, -2])
def test_one_flipped_bit_in_a_gzip_stream_is_detected(write: Callable[..., Path], place: float) -> None:
    noise = np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
    path = write(nifti_bytes(noise), "a.nii.gz")
    data = bytearray(path.read_bytes())
    data[int(place * len(data)) if 0 < place < 1 else int(place)] ^= 4
    path.write_bytes(data)
    assert re.match(r"found a (damaged|truncated) gzip|found at least", fault(path))


def test_a_wrong_gzip_checksum_is_detected(write: Callable[..., Path]) -> None:
    path = write(nifti_bytes(), "a.nii.gz")
    data = path.read_bytes()
    path.write_bytes(data[:-8] + bytes([data[-8] ^ 1]) + data[-7:])
    assert fault(path).startswith("found a damaged gzip stream (CRC check failed")


def test_bytes_after_a_gzip_stream_are_refused(write: Callable[..., Path]) -> None:
    path = write(nifti_bytes(), "a.nii.gz")
    path.write_bytes(path.read_bytes() + b"garbage")
    assert re.match(r"found a (damaged|truncated) gzip stream", fault(path))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_file_with_too_few_voxels_is_refused_with_both_sizes(write: Callable[..., Path], name: str) -> None:
    problem = fault(write(nifti_bytes(VOXELS, (DIM + 6, "h", 5)), name))
    assert re.search(r"found (at most )?400 bytes, expected the 412 bytes of int16 \(2, 3, 5\)", problem)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_file_with_too_many_voxels_is_refused_with_both_sizes(write: Callable[..., Path], name: str) -> None:
    problem = fault(write(nifti_bytes(VOXELS, (DIM + 6, "h", 3)), name))
    assert problem.startswith("found 400 bytes, expected the 388 bytes of int16 (2, 3, 3) in its header; ")


@pytest.mark.parametrize("size", [4, 100, 347, 350])
def test_a_file_that_ends_in_its_header_is_named(write: Callable[..., Path], size: int) -> None:
    assert re.match(r"found (at most )?\d+ bytes", fault(write(nifti_bytes()[:size])))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_an_oversized_header_is_refused_before_memory_is_allocated(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delattr(np, "empty")
    path = write(nifti_bytes(VOXELS, *((DIM + 2 * axis, "h", 30000) for axis in (1, 2, 3))), name)
    assert "expected at most 8,589,934,592" in fault(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_header_larger_than_its_file_is_refused_before_memory_is_allocated(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delattr(np, "empty")
    path = write(nifti_bytes(VOXELS, *((DIM + 2 * axis, "h", 1000) for axis in (1, 2, 3))), name)
    assert "expected the 2,000,000,352 bytes" in fault(path)


def test_a_gzip_bomb_is_not_unpacked_beyond_its_header(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(nifti_bytes() + bytes(50_000_000)))
    assert fault(tmp_path / "a.nii.gz").startswith("found at least 1,048,976 bytes, expected the 400 bytes")


@pytest.mark.parametrize("offset", [-1, 100, 352.5, np.nan, np.inf, 1e30])
def test_voxels_must_begin_after_the_header(write: Callable[..., Path], offset: float) -> None:
    assert fault(write(nifti_bytes(VOXELS, (VOX_OFFSET, "f", offset)))).startswith("found vox_offset ")


# images of another shape or type


@pytest.mark.parametrize(
    ("dim", "finding"),
    [
        ((3, 0, 3, 4), "shape (0, 3, 4) of 3 axes"),
        ((3, 2, -3, 4), "shape (2, -3, 4) of 3 axes"),
        ((2, 6, 4), "shape (6, 4) of 2 axes"),
        ((4, 2, 3, 2, 2), "shape (2, 3, 2, 2) of 4 axes"),
        ((0, 2, 3, 4), "shape () of 0 axes"),
        ((8, 2, 3, 4), "of 8 axes"),
        ((-1, 2, 3, 4), "of -1 axes"),
    ],
)
def test_another_number_of_axes_than_three_is_refused(
    write: Callable[..., Path], dim: tuple[int, ...], finding: str
) -> None:
    data = nifti_bytes(VOXELS, *((DIM + 2 * at, "h", length) for at, length in enumerate(dim)))
    assert finding in fault(write(data))


@pytest.mark.parametrize("code", [1, 32, 128, 1536, 1792, 2304, 0, 999])
def test_voxels_of_a_type_that_is_no_single_number_are_refused(write: Callable[..., Path], code: int) -> None:
    assert f"found voxels of NIfTI type {code} " in fault(write(nifti_bytes(VOXELS, (DATATYPE, "h", code))))


def test_nan_and_infinite_voxels_are_counted(write: Callable[..., Path]) -> None:
    voxels = VOXELS.astype(np.float32)
    voxels[0, 0, :3], voxels[1, 0, 0] = np.nan, -np.inf
    assert fault(write(nifti_bytes(voxels))).startswith("found 3 voxels that are nan and 1 that are infinite")


@pytest.mark.parametrize(("slope", "inter"), [(np.inf, 0), (1, np.nan), (2, np.inf)])
def test_a_scaling_that_is_not_finite_is_refused(write: Callable[..., Path], slope: float, inter: float) -> None:
    path = write(nifti_bytes(VOXELS, (SLOPE, "f", slope), (INTER, "f", inter)))
    assert fault(path).startswith("found scl_slope ")


# labels


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i8", "f4", "f8"])
def test_labels_are_read_in_the_smallest_unsigned_type(write: Callable[..., Path], dtype: str) -> None:
    volume = read_label(write(nifti_bytes(VOXELS.astype(dtype)), "a.nii.gz"))
    assert volume.voxels.dtype == np.uint8
    assert np.array_equal(volume.voxels, VOXELS)


def test_labels_beyond_255_are_kept(write: Callable[..., Path]) -> None:
    volume = read_label(write(nifti_bytes(np.full((2, 2, 2), 300, np.int32))))
    assert (volume.voxels.dtype, volume.voxels.max()) == (np.uint16, 300)


def test_labels_that_are_nearly_whole_are_rounded(write: Callable[..., Path]) -> None:
    voxels = np.array([0, 0.99999997, 1.00005, 3.99995], np.float64).reshape(1, 2, 2)
    assert read_label(write(nifti_bytes(voxels))).voxels.ravel().tolist() == [0, 1, 1, 4]


def test_a_mask_stored_with_slope_and_intercept_is_read_as_0_and_1(write: Callable[..., Path]) -> None:
    stored = np.where(VOXELS % 2, 2**31 - 1, -(2**31)).astype(np.int32)
    path = write(nifti_bytes(stored, (SLOPE, "f", 2.3283064e-10), (INTER, "f", 0.5)))
    assert not np.isin(read_image(path).voxels, [0, 1]).all()
    assert np.array_equal(read_label(path).voxels, VOXELS % 2)


@pytest.mark.parametrize("value", [1.5, 0.99, 2.0002])
def test_fractional_labels_are_counted(write: Callable[..., Path], value: float) -> None:
    voxels = VOXELS.astype(np.float64)
    voxels[0, 0, :2] = value
    problem = fault(write(nifti_bytes(voxels)), read=read_label)
    assert problem.startswith(f"found fractional labels, {value:g} (2 voxels), expected whole numbers; ")


def test_labels_halved_by_a_slope_are_refused(write: Callable[..., Path]) -> None:
    path = write(nifti_bytes(VOXELS, (SLOPE, "f", 0.5), (INTER, "f", 0)))
    problem = fault(path, read=read_label)
    assert "0.5 (1 voxel)" in problem
    assert "and 8 other values" in problem
    assert problem.endswith(
        "scl_slope 0.5 in the header scales them: set it to 1 if the stored values are the labels"
    )


def test_labels_that_a_slope_has_rounded_are_refused_with_the_slope(write: Callable[..., Path]) -> None:
    labels = np.array([0, 1, 2, 4], np.float64).reshape(1, 2, 2)
    slope = np.float32(4 / 255)  # as nibabel saves these values as uint8
    stored = np.rint(labels / slope).astype(np.uint8)
    problem = fault(write(nifti_bytes(stored, (SLOPE, "f", slope), (INTER, "f", 0))), read=read_label)
    assert problem.startswith("found fractional labels, 1.00392 (1 voxel), 1.99216 (1 voxel)")
    assert problem.endswith("round the values and save them as integers without scaling")
    scaled = read_image(write(nifti_bytes(stored, (SLOPE, "f", slope), (INTER, "f", 0)))).voxels
    assert np.array_equal(read_label(write(nifti_bytes(np.rint(scaled).astype(np.uint8)))).voxels, labels)


def test_a_slice_of_two_axes_is_refused_with_what_to_add(write: Callable[..., Path]) -> None:
    plane = VOXELS[..., 0]
    assert fault(write(nifti_bytes(plane))).endswith("none of them empty; add a third axis of length 1")
    assert read_image(write(nifti_bytes(plane[..., None]))).voxels.shape == (2, 3, 1)


def test_a_vox_offset_of_0_in_nifti_2_means_directly_after_the_header(tmp_path: Path) -> None:
    data = bytearray(nibabel.Nifti2Image(VOXELS, LPS).to_bytes())
    struct.pack_into("<q", data, 168, 0)  # vox_offset
    (tmp_path / "a.nii").write_bytes(data)
    assert np.array_equal(read_image(tmp_path / "a.nii").voxels, VOXELS)


# headers of ACDC

ACDC_SPACING = (1.49, 1.49, 10.0)


def acdc_header(*patches: Patch) -> tuple[Patch, ...]:
    """Return a header whose spacing is in pixdim and the qform, and whose sform has voxels of 1 mm."""
    sizes = [(PIXDIM + 4 * axis, "f", length) for axis, length in enumerate(ACDC_SPACING, start=1)]
    rows = [(SROW + 4 * at, "f", value) for at, value in enumerate((-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0))]
    quaternion = [(QUATERN, "f", 0), (QUATERN + 4, "f", 0), (QUATERN + 8, "f", 1)]  # half a turn about z
    quaternion += [(QUATERN + 12 + 4 * axis, "f", 0) for axis in range(3)]  # the origin
    codes = [(QFORM_CODE, "h", 1), (SFORM_CODE, "h", 1), (PIXDIM, "f", 1)]
    return (*sizes, *rows, *quaternion, *codes, *patches)


@pytest.mark.parametrize("code", [1, 0])
def test_a_unit_sform_leaves_the_spacing_to_pixdim_with_a_remark(write: Callable[..., Path], code: int) -> None:
    volume = read_image(write(nifti_bytes(VOXELS, *acdc_header((QFORM_CODE, "h", code)))))
    assert volume.spacing_mm == pytest.approx(ACDC_SPACING)
    assert np.allclose(volume.affine, np.diag([-1.49, -1.49, 10, 1]), atol=1e-5)
    source = "the qform is used" if code else "its directions are used"
    assert volume.remark == f"found an sform without voxel sizes; {source}, with the spacing of pixdim"


def test_a_remark_that_holds_for_all_files_of_acdc_is_logged_for_the_first(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nifti.logging.getLogger(nifti.__name__), "filters", [nifti.OnceForAllFiles()])
    paths = [write(nifti_bytes(VOXELS, *acdc_header()), name) for name in ("a.nii", "b.nii", "c.nii.gz")]
    for path in paths:
        read_image(path)
    assert caplog.messages == [f"{paths[0]}: {nifti.REMARK_UNIT_QFORM}"]


def test_an_sform_with_other_voxel_sizes_than_1_mm_must_still_agree_with_pixdim(
    write: Callable[..., Path],
) -> None:
    for place in (SROW, SROW + 4):  # a longer axis, and one that is turned
        path = write(nifti_bytes(VOXELS, *acdc_header((place, "f", 1.2))))
        assert "mm by the affine, expected (1.49, 1.49, 10) mm" in fault(path)


@pytest.mark.parametrize("value", [65536.0, 1e30])
def test_labels_out_of_range_are_counted(write: Callable[..., Path], value: float) -> None:
    path = write(nifti_bytes(np.full((2, 2, 2), value, np.float64)))
    assert fault(path, read=read_label).startswith(
        f"found labels out of range, {value:g} (8 voxels), expected 0 to 6"
    )


def test_negative_labels_are_counted(write: Callable[..., Path]) -> None:
    voxels = VOXELS.copy()
    voxels[0, 0, :3] = -1
    assert fault(write(nifti_bytes(voxels)), read=read_label).startswith(
        "found labels out of range, -1 (3 voxels)"
    )


def test_a_label_that_is_nan_is_refused(write: Callable[..., Path]) -> None:
    path = write(nifti_bytes(np.full((2, 2, 2), np.nan, np.float32)))
    assert fault(path, read=read_label).startswith("found 8 voxels that are nan")


# the files of a case


def volume(shape: tuple[int, ...] = (2, 3, 4), affine: np.ndarray = LPS) -> Volume:
    return Volume(np.zeros(shape), affine, tuple(np.linalg.norm(affine[:3, :3], axis=0)))


def test_files_on_one_grid_have_no_problem() -> None:
    nearly = LPS + np.full((4, 4), 9e-4)
    assert check_same_grid({"t1": volume(), "t2": volume(), "seg": volume(affine=nearly)}) == []
    assert check_same_grid({}) == []


def test_the_file_whose_shape_differs_from_most_is_named() -> None:
    for odd in ("t1", "t2", "seg"):
        volumes = {name: volume((2, 3, 5) if name == odd else (2, 3, 4)) for name in ("t1", "t2", "seg")}
        like = "t2" if odd == "t1" else "t1"
        (problem,) = check_same_grid(volumes)
        assert problem.startswith(f"{odd}: found shape (2, 3, 5), expected (2, 3, 4) like {like}; ")
        assert "transpose" not in problem


def test_a_transposed_file_is_recognised() -> None:
    (problem,) = check_same_grid({"t1": volume(), "seg": volume((4, 3, 2))})
    assert problem.startswith("seg: found shape (4, 3, 2), expected (2, 3, 4) like t1; ")
    assert problem.endswith("transpose it")


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (np.diag([-1, 1, 1, 1]), "orientation RPS"),
        (np.diag([1, 1, 2, 1]), "spacing (1, 2, 6) mm"),
        (np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.01], [0, 0, 0, 1]]), "origin (0, 239, 5.03)"),
    ],
)
def test_a_different_orientation_spacing_or_origin_is_named(change: np.ndarray, finding: str) -> None:
    (problem,) = check_same_grid({"t1": volume(), "seg": volume(affine=LPS @ change)})
    assert problem.startswith("seg: found ")
    assert finding in problem.partition(", expected ")[0]
    assert "expected orientation LPS, spacing (1, 2, 3) mm, origin (0, 239, 5) like t1" in problem
