"""The LGG plugin on handmade patients, with every fault that has been seen."""

from __future__ import annotations

import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from lgg_patients import PATIENT, write_patient

from benchbench import DataError, DataNotFoundError
from benchbench_datasets.lgg import Lgg


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """The folder of a patient of 12 slices without any fault."""
    return write_patient(tmp_path / "kaggle_3m")


@pytest.fixture
def lgg(patient: Path) -> Lgg:
    return Lgg(patient.parents[1])


def faults(dataset: Lgg) -> list[str]:
    """Return the problems of loading the patient, without the folder that they all begin with."""
    with pytest.raises(DataError) as caught:
        dataset.load(PATIENT)
    place = f"lgg: kaggle_3m/{PATIENT}"
    assert all(problem.startswith(place) for problem in caught.value.problems)
    assert all("; " in problem and "\n" not in problem for problem in caught.value.problems)
    return [problem.removeprefix(place).removeprefix("/") for problem in caught.value.problems]


def overwrite(path: Path, array: np.ndarray) -> None:
    tifffile.imwrite(path, array, metadata=None, photometric="rgb" if array.shape[-1] == 3 else "minisblack")


# missing files


@pytest.mark.parametrize("folder", ["", "kaggle_3m", "absent/kaggle_3m/TCGA"])
def test_a_folder_without_patients_is_named_in_one_line(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    with pytest.raises(DataNotFoundError) as caught:
        Lgg(tmp_path).cases()
    assert str(caught.value).startswith(f"lgg: {tmp_path}: found no folder TCGA_*")
    assert "\n" not in str(caught.value)


def test_an_absent_root_gives_the_same_error_as_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="found no folder TCGA_"):
        Lgg(tmp_path / "absent").cases()


def test_an_image_without_mask_is_named(lgg: Lgg, patient: Path) -> None:
    (patient / f"{PATIENT}_3_mask.tif").unlink()
    (fault,) = faults(lgg)
    assert fault.startswith(f"{PATIENT}_3.tif: found no mask, expected {PATIENT}_3_mask.tif")


def test_a_mask_without_image_is_named(lgg: Lgg, patient: Path) -> None:
    (patient / f"{PATIENT}_3.tif").unlink()
    (fault,) = faults(lgg)
    assert fault.startswith(f"{PATIENT}_3_mask.tif: found no image, expected {PATIENT}_3.tif")


def test_a_patient_without_slices_is_named(lgg: Lgg, patient: Path) -> None:
    for path in patient.iterdir():
        path.unlink()
    (fault,) = faults(lgg)
    assert fault.startswith(f": found no slice, expected {PATIENT}_1.tif")


def test_gaps_in_the_numbering_are_named(lgg: Lgg, patient: Path) -> None:
    for n in (1, 6, 7):
        (patient / f"{PATIENT}_{n}.tif").unlink()
        (patient / f"{PATIENT}_{n}_mask.tif").unlink()
    (fault,) = faults(lgg)
    assert fault.startswith(": found no slice 1, 6, 7, expected every slice from 1 to 12; ")


@pytest.mark.parametrize("name", ["_01.tif", "_0.tif", "_3 (1).tif", "_3_Mask.tif", "_19960909.tif", ".tif"])
def test_a_tiff_that_is_no_slice_is_named_and_not_skipped(lgg: Lgg, patient: Path, name: str) -> None:
    shutil.copy(patient / f"{PATIENT}_1.tif", patient / f"{PATIENT}{name}")
    (fault,) = faults(lgg)
    assert fault.startswith(f"{PATIENT}{name}: found a name of no slice")


def test_all_faults_of_the_names_are_reported_at_once(lgg: Lgg, patient: Path) -> None:
    for name in ["_2", "_2_mask", "_3_mask", "_9"]:
        (patient / f"{PATIENT}{name}.tif").unlink()
    with pytest.raises(DataError) as caught:
        lgg.files(PATIENT)
    assert len(caught.value.problems) == 3
    assert len(str(caught.value).splitlines()) == 3


# files that cannot be used


@pytest.mark.parametrize("length", [0, 1, 4, 8, 12, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("kind", ["", "_mask"])
def test_a_tiff_that_was_cut_short_is_named(lgg: Lgg, patient: Path, length: float, kind: str) -> None:
    path = patient / f"{PATIENT}_5{kind}.tif"
    data = path.read_bytes()
    size = length * len(data) if 0 < length < 1 else length
    path.write_bytes(data[: int(size)])
    (fault,) = faults(lgg)
    assert re.match(rf"{PATIENT}_5{kind}\.tif: found .+, expected .+; copy the file from its source again", fault)


def tiff_with_table_last(page: np.ndarray) -> bytes:
    """Return a grey TIFF whose table of contents follows the pixels, as in the archive."""
    height, width = page.shape
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: page.size}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    table = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + page.size) + page.tobytes() + table


def test_a_table_of_contents_may_follow_the_pixels(lgg: Lgg, patient: Path) -> None:
    path = patient / f"{PATIENT}_5_mask.tif"
    before = lgg.load(PATIENT).label
    path.write_bytes(tiff_with_table_last(tifffile.imread(path)))
    assert np.array_equal(lgg.load(PATIENT).label, before)


@pytest.mark.parametrize("length", [8, 20, 71, 72, 73, 74, 80, 100, 180])
def test_a_tiff_that_was_cut_before_its_table_of_contents_is_named(lgg: Lgg, patient: Path, length: int) -> None:
    path = patient / f"{PATIENT}_5_mask.tif"
    path.write_bytes(tiff_with_table_last(tifffile.imread(path))[:length])
    (fault,) = faults(lgg)
    assert re.match(rf"{PATIENT}_5_mask\.tif: found .+, expected .+; copy the file from its source again", fault)


def test_a_web_page_saved_as_tiff_is_named(lgg: Lgg, patient: Path) -> None:
    (patient / f"{PATIENT}_5.tif").write_text("<!DOCTYPE html>\n<html>Sign in</html>\n" * 99)
    (fault,) = faults(lgg)
    assert fault.startswith(
        f"{PATIENT}_5.tif: found an HTML page, such as an error or a log-in, expected a TIFF file"
    )


def test_a_broken_link_is_named(lgg: Lgg, patient: Path) -> None:
    (patient / f"{PATIENT}_5.tif").unlink()
    (patient / f"{PATIENT}_5.tif").symlink_to("absent.tif")
    (fault,) = faults(lgg)
    assert fault.startswith(f"{PATIENT}_5.tif: found a broken link to absent.tif, expected a TIFF file; ")


def test_other_mask_values_are_counted(lgg: Lgg, patient: Path) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[0, :5], mask[1, :2], mask[2] = 254, 1, 255
    overwrite(patient / f"{PATIENT}_5_mask.tif", mask)
    (fault,) = faults(lgg)
    finding, _, advice = fault.partition(", expected only 0 and 255")
    assert finding == f"{PATIENT}_5_mask.tif: found other values, 254 (5 px), 1 (2 px)"
    assert "lossy or interpolated" in advice


def test_only_the_commonest_of_many_other_mask_values_are_counted(lgg: Lgg, patient: Path) -> None:
    mask = np.arange(64, dtype=np.uint8).reshape(8, 8)
    mask[0] = 63
    overwrite(patient / f"{PATIENT}_5_mask.tif", mask)
    (fault,) = faults(lgg)
    assert "found 56 other values, 63 (9 px), 8 (1 px)" in fault
    assert len(fault) < 250


def test_a_mask_of_0_and_1_is_refused(lgg: Lgg, patient: Path) -> None:
    overwrite(patient / f"{PATIENT}_5_mask.tif", np.eye(8, dtype=np.uint8))
    (fault,) = faults(lgg)
    assert "found other values, 1 (8 px), expected only 0 and 255; multiply a mask of 0 and 1 by 255, or " in fault
    overwrite(patient / f"{PATIENT}_5_mask.tif", 255 * np.eye(8, dtype=np.uint8))
    lgg.load(PATIENT)


def test_the_error_of_a_mask_of_another_size_names_both_sizes(lgg: Lgg, patient: Path) -> None:
    overwrite(patient / f"{PATIENT}_5_mask.tif", np.zeros((4, 6), np.uint8))
    (fault,) = faults(lgg)
    assert fault.startswith(f"{PATIENT}_5_mask.tif: found shape (4, 6), expected (8, 8)")


def test_masks_that_all_have_another_size_are_reported_one_per_line(lgg: Lgg, patient: Path) -> None:
    for n in range(1, 13):
        overwrite(patient / f"{PATIENT}_{n}_mask.tif", np.zeros((4, 4), np.uint8))
    assert [fault.partition(", ")[0] for fault in faults(lgg)] == [
        f"{PATIENT}_{n}_mask.tif: found shape (4" for n in range(1, 13)
    ]


def test_a_slice_of_another_size_is_named(lgg: Lgg, patient: Path) -> None:
    overwrite(patient / f"{PATIENT}_5.tif", np.zeros((4, 6, 3), np.uint8))
    overwrite(patient / f"{PATIENT}_5_mask.tif", np.zeros((4, 6), np.uint8))
    image, mask = faults(lgg)
    assert image.startswith(f"{PATIENT}_5.tif: found uint8 (4, 6, 3), expected uint8 (8, 8, 3)")
    assert mask.startswith(f"{PATIENT}_5_mask.tif: found shape (4, 6), expected (8, 8)")


@pytest.mark.parametrize(
    ("array", "actual"),
    [
        (np.zeros((8, 8), np.uint8), "uint8 (8, 8)"),
        (np.zeros((8, 8, 3), np.uint16), "uint16 (8, 8, 3)"),
        (np.zeros((2, 8, 8, 3), np.uint8), "uint8 (2, 8, 8, 3)"),
        (np.zeros((3, 8, 8), np.uint8), "uint8 (3, 8, 8)"),
    ],
)
def test_an_image_of_another_kind_is_named(lgg: Lgg, patient: Path, array: np.ndarray, actual: str) -> None:
    overwrite(patient / f"{PATIENT}_5.tif", array)
    (fault,) = faults(lgg)
    assert fault.startswith(f"{PATIENT}_5.tif: found {actual}, expected uint8 (8, 8, 3)")


def test_images_that_are_all_grey_are_reported_one_per_line(lgg: Lgg, patient: Path) -> None:
    for n in range(1, 13):
        overwrite(patient / f"{PATIENT}_{n}.tif", np.zeros((8, 8), np.uint8))
    assert len(faults(lgg)) == 12


def test_a_mask_with_channels_is_named(lgg: Lgg, patient: Path) -> None:
    overwrite(patient / f"{PATIENT}_5_mask.tif", np.zeros((8, 8, 3), np.uint8))
    (fault,) = faults(lgg)
    assert fault.startswith(f"{PATIENT}_5_mask.tif: found shape (8, 8, 3), expected (8, 8)")


def test_all_faults_of_a_case_are_reported_at_once_in_the_order_of_its_files(lgg: Lgg, patient: Path) -> None:
    overwrite(patient / f"{PATIENT}_2.tif", np.zeros((4, 4, 3), np.uint8))
    overwrite(patient / f"{PATIENT}_4_mask.tif", np.full((8, 8), 7, np.uint8))
    (patient / f"{PATIENT}_3.tif").write_bytes(b"")
    (patient / f"{PATIENT}_10_mask.tif").write_bytes(b"II")
    names = [fault.partition(":")[0].removeprefix(PATIENT) for fault in faults(lgg)]
    assert names == ["_2.tif", "_3.tif", "_4_mask.tif", "_10_mask.tif"]


def test_files_are_reported_one_by_one_even_if_all_are_unreadable(lgg: Lgg, patient: Path) -> None:
    for path in patient.iterdir():
        path.write_bytes(b"")
    assert len(faults(lgg)) == 24
