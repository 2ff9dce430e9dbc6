"""The LGG plugin on made-up patients, broken in every way that has been seen, and on real ones."""

from __future__ import annotations

import shutil
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from benchbench import DataError, DataNotFoundError
from benchbench_datasets.lgg import Lgg, benchbench_datasets
from benchbench_datasets.lgg_phantom import HEADER, write_phantom

REAL = Path(__file__).parents[2] / "shared/data/lgg"
PATIENT = "TCGA_DU_0001_20000102"


def write_patient(folder: Path, *, slices: int = 12, size: int = 8) -> Path:
    """A patient whose slice n is n everywhere in FLAIR, with one pixel of tumour."""
    patient = folder / PATIENT
    patient.mkdir(parents=True)
    for n in range(1, slices + 1):
        image, mask = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.uint8)
        image[..., 1], mask[n % size, 0] = n, 255
        tifffile.imwrite(patient / f"{PATIENT}_{n}.tif", image, photometric="rgb", metadata=None)
        tifffile.imwrite(patient / f"{PATIENT}_{n}_mask.tif", mask, photometric="minisblack", metadata=None)
    return patient


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """The folder of a faultless patient of 12 slices."""
    return write_patient(tmp_path / "kaggle_3m")


@pytest.fixture
def lgg(patient: Path) -> Lgg:
    return Lgg(patient.parents[1])


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantoms")
    write_phantom(root, patients=12, size=64, seed=0)
    return root


@pytest.fixture(scope="module")
def real() -> Lgg:
    if not REAL.is_dir():
        pytest.skip(f"no real patients in {REAL}")
    return Lgg(REAL)


def faults(dataset: Lgg) -> list[str]:
    """The problems that loading the patient raises, each without the place they all begin with."""
    with pytest.raises(DataError) as caught:
        dataset.load(PATIENT)
    place = f"lgg: kaggle_3m/{PATIENT}"
    assert all(problem.startswith(place) for problem in caught.value.problems)
    assert all("; " in problem and "\n" not in problem for problem in caught.value.problems)
    return [problem.removeprefix(place).removeprefix("/") for problem in caught.value.problems]


def overwrite(path: Path, array: np.ndarray) -> None:
    tifffile.imwrite(path, array, metadata=None, photometric="rgb" if array.shape[-1] == 3 else "minisblack")


# what a good folder gives


def test_slices_are_stacked_in_the_order_of_their_numbers(lgg: Lgg) -> None:
    assert lgg.load(PATIENT).image[1, :, 0, 0].tolist() == list(range(1, 13))


def test_a_case_is_channels_first_and_a_label_without_channels(lgg: Lgg) -> None:
    case = lgg.load(PATIENT)
    assert (case.image.shape, case.image.dtype) == ((3, 12, 8, 8), np.uint8)
    assert (case.label.shape, case.label.dtype) == ((12, 8, 8), np.uint8)
    assert case.affine is None
    assert case.spacing_mm is None


def test_masks_of_0_and_255_become_labels_0_and_1(lgg: Lgg) -> None:
    label = lgg.load(PATIENT).label
    assert np.unique(label).tolist() == [0, 1]
    assert label[4].nonzero() == ([5], [0])


def test_files_are_image_and_mask_by_turns(lgg: Lgg) -> None:
    names = [path.name.removeprefix(PATIENT) for path in lgg.files(PATIENT)]
    assert names[:4] == ["_1.tif", "_1_mask.tif", "_2.tif", "_2_mask.tif"]
    assert names[-2:] == ["_12.tif", "_12_mask.tif"]
    assert len(names) == 24


def test_one_case_is_one_patient(lgg: Lgg, patient: Path) -> None:
    other = patient.with_name("TCGA_CS_0002_19990101")
    shutil.copytree(patient, other)
    assert [tuple(case) for case in lgg.cases()] == [(other.name, other.name), (PATIENT, PATIENT)]


def test_what_lies_beside_patients_is_no_patient(lgg: Lgg, patient: Path) -> None:
    for name in ["data.csv", "README.md", ".DS_Store", "TCGA_notes.txt", f"._{PATIENT}"]:
        (patient.parent / name).write_text("Patient\n")
    assert [case.id for case in lgg.cases()] == [PATIENT]


def test_files_of_the_finder_are_no_slices(lgg: Lgg, patient: Path) -> None:
    (patient / ".DS_Store").write_bytes(b"\0")
    (patient / f"._{PATIENT}_1.tif").write_bytes(b"\0")
    (patient / f"._{PATIENT}_1_mask.tif").write_bytes(b"\0")
    assert len(lgg.files(PATIENT)) == 24
    assert lgg.load(PATIENT).image.shape[1] == 12


def test_the_second_copy_in_the_archive_is_not_read_beside_the_first(lgg: Lgg, patient: Path) -> None:
    copy = lgg.root / "lgg-mri-segmentation" / "kaggle_3m"
    shutil.copytree(patient, copy / PATIENT)
    shutil.copytree(patient, copy / "TCGA_CS_0002_19990101")
    assert [case.id for case in lgg.cases()] == [PATIENT]
    assert all(path.parent == patient for path in lgg.files(PATIENT))


def test_the_second_copy_is_read_where_the_first_is_absent(tmp_path: Path) -> None:
    patient = write_patient(tmp_path / "lgg-mri-segmentation" / "kaggle_3m")
    assert Lgg(tmp_path).files(PATIENT)[0].parent == patient


def test_a_root_may_hold_the_patients_itself(tmp_path: Path) -> None:
    write_patient(tmp_path)
    assert Lgg(tmp_path).load(PATIENT).image.shape == (3, 12, 8, 8)


def test_the_plugin_opens_with_a_root_alone(patient: Path) -> None:
    (plugin,) = benchbench_datasets()
    dataset = plugin.open(patient.parents[1])
    assert plugin.name == "lgg"
    assert dataset.task.regions == {"tumour": (1,)}
    assert dataset.task.channels == ("pre_contrast", "flair", "post_contrast")
    assert len(dataset.cases()) == 1


# data.csv


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_metadata_is_matched_without_the_date_and_kept_as_written(
    lgg: Lgg, patient: Path, separator: str, end: str
) -> None:
    lines = [
        ["Patient", "gender", "race", "age"],
        ["TCGA_DU_0001", "2", "", "07"],
        ["TCGA_DU_0009", "1", "1", "50"],
    ]
    text = end.join(separator.join(line) for line in lines) + end
    (patient.parent / "data.csv").write_bytes(text.encode())
    assert lgg.metadata() == {PATIENT: {"gender": "2", "race": "", "age": "07"}}


def test_without_data_csv_there_is_no_metadata(lgg: Lgg) -> None:
    assert lgg.metadata() == {}


def test_an_empty_data_csv_holds_no_metadata(lgg: Lgg, patient: Path) -> None:
    (patient.parent / "data.csv").write_bytes(b"")
    assert lgg.metadata() == {}


@pytest.mark.parametrize("row", ["TCGA_DU_0001,1", "TCGA_DU_0001,1,2,3"])
def test_a_row_of_another_length_than_the_header_is_named(lgg: Lgg, patient: Path, row: str) -> None:
    (patient.parent / "data.csv").write_text(f"Patient,gender,race\n{row}\n")
    with pytest.raises(DataError, match=r"lgg: kaggle_3m/data.csv: found TCGA_DU_0001 .*expected 3 values; "):
        lgg.metadata()


# what is not there


@pytest.mark.parametrize("folder", ["", "kaggle_3m", "absent/kaggle_3m/TCGA"])
def test_no_patient_is_told_in_one_line_with_the_folder(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    with pytest.raises(DataNotFoundError) as caught:
        Lgg(tmp_path).cases()
    assert str(caught.value).startswith(f"lgg: {tmp_path}: found no folder TCGA_*")
    assert "\n" not in str(caught.value)


def test_an_absent_root_is_told_like_an_empty_one(tmp_path: Path) -> None:
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


def test_all_faults_of_the_names_are_told_at_once(lgg: Lgg, patient: Path) -> None:
    for name in ["_2", "_2_mask", "_3_mask", "_9"]:
        (patient / f"{PATIENT}{name}.tif").unlink()
    with pytest.raises(DataError) as caught:
        lgg.files(PATIENT)
    assert len(caught.value.problems) == 3
    assert len(str(caught.value).splitlines()) == 3


# what cannot be used


@pytest.mark.parametrize("kept", [0, 1, 4, 8, 12, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("kind", ["", "_mask"])
def test_a_tiff_that_was_cut_short_is_named(lgg: Lgg, patient: Path, kept: float, kind: str) -> None:
    path = patient / f"{PATIENT}_5{kind}.tif"
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if 0 < kept < 1 else int(kept)])
    (fault,) = faults(lgg)
    assert fault.startswith(f"{PATIENT}_5{kind}.tif: found a file that cannot be decoded (")


def tiff_with_table_last(page: np.ndarray) -> bytes:
    """A grey TIFF whose table of contents follows the pixels, as in the archive."""
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


@pytest.mark.parametrize("kept", [8, 20, 71, 72, 73, 74, 80, 100, 180])
def test_a_tiff_that_was_cut_before_its_table_of_contents_is_named(lgg: Lgg, patient: Path, kept: int) -> None:
    path = patient / f"{PATIENT}_5_mask.tif"
    path.write_bytes(tiff_with_table_last(tifffile.imread(path))[:kept])
    (fault,) = faults(lgg)
    assert fault.startswith(f"{PATIENT}_5_mask.tif: found a file that cannot be decoded (")


def test_a_web_page_saved_as_tiff_is_named(lgg: Lgg, patient: Path) -> None:
    (patient / f"{PATIENT}_5.tif").write_text("<!DOCTYPE html>\n<html>Sign in</html>\n" * 99)
    (fault,) = faults(lgg)
    assert fault.startswith(
        f"{PATIENT}_5.tif: found a file that cannot be decoded (TiffFileError: not a TIFF file"
    )


def test_a_broken_link_is_named(lgg: Lgg, patient: Path) -> None:
    (patient / f"{PATIENT}_5.tif").unlink()
    (patient / f"{PATIENT}_5.tif").symlink_to("absent.tif")
    (fault,) = faults(lgg)
    assert "cannot be decoded (FileNotFoundError" in fault


def test_other_mask_values_are_counted(lgg: Lgg, patient: Path) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[0, :5], mask[1, :2], mask[2] = 254, 1, 255
    overwrite(patient / f"{PATIENT}_5_mask.tif", mask)
    (fault,) = faults(lgg)
    found, _, advice = fault.partition(", expected only 0 and 255")
    assert found == f"{PATIENT}_5_mask.tif: found other values, 254 (5 px), 1 (2 px)"
    assert "lossy or interpolated" in advice


def test_of_many_other_mask_values_the_commonest_are_counted(lgg: Lgg, patient: Path) -> None:
    mask = np.arange(64, dtype=np.uint8).reshape(8, 8)
    mask[0] = 63
    overwrite(patient / f"{PATIENT}_5_mask.tif", mask)
    (fault,) = faults(lgg)
    assert "found 56 other values, 63 (9 px), 8 (1 px)" in fault
    assert len(fault) < 250


def test_a_mask_of_0_and_1_is_refused(lgg: Lgg, patient: Path) -> None:
    overwrite(patient / f"{PATIENT}_5_mask.tif", np.eye(8, dtype=np.uint8))
    (fault,) = faults(lgg)
    assert "found other values, 1 (8 px), expected only 0 and 255" in fault


def test_a_mask_of_another_size_is_told_with_both_sizes(lgg: Lgg, patient: Path) -> None:
    overwrite(patient / f"{PATIENT}_5_mask.tif", np.zeros((4, 6), np.uint8))
    (fault,) = faults(lgg)
    assert fault.startswith(f"{PATIENT}_5_mask.tif: found shape (4, 6), expected (8, 8)")


def test_masks_that_are_all_of_another_size_are_told_one_a_line(lgg: Lgg, patient: Path) -> None:
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
    ("array", "found"),
    [
        (np.zeros((8, 8), np.uint8), "uint8 (8, 8)"),
        (np.zeros((8, 8, 3), np.uint16), "uint16 (8, 8, 3)"),
        (np.zeros((2, 8, 8, 3), np.uint8), "uint8 (2, 8, 8, 3)"),
        (np.zeros((3, 8, 8), np.uint8), "uint8 (3, 8, 8)"),
    ],
)
def test_an_image_of_another_kind_is_named(lgg: Lgg, patient: Path, array: np.ndarray, found: str) -> None:
    overwrite(patient / f"{PATIENT}_5.tif", array)
    (fault,) = faults(lgg)
    assert fault.startswith(f"{PATIENT}_5.tif: found {found}, expected uint8 (8, 8, 3)")


def test_images_that_are_all_grey_are_told_one_a_line(lgg: Lgg, patient: Path) -> None:
    for n in range(1, 13):
        overwrite(patient / f"{PATIENT}_{n}.tif", np.zeros((8, 8), np.uint8))
    assert len(faults(lgg)) == 12


def test_a_mask_with_channels_is_named(lgg: Lgg, patient: Path) -> None:
    overwrite(patient / f"{PATIENT}_5_mask.tif", np.zeros((8, 8, 3), np.uint8))
    (fault,) = faults(lgg)
    assert fault.startswith(f"{PATIENT}_5_mask.tif: found shape (8, 8, 3), expected (8, 8)")


def test_all_faults_of_a_case_are_told_at_once_in_the_order_of_its_files(lgg: Lgg, patient: Path) -> None:
    overwrite(patient / f"{PATIENT}_2.tif", np.zeros((4, 4, 3), np.uint8))
    overwrite(patient / f"{PATIENT}_4_mask.tif", np.full((8, 8), 7, np.uint8))
    (patient / f"{PATIENT}_3.tif").write_bytes(b"")
    (patient / f"{PATIENT}_10_mask.tif").write_bytes(b"II")
    named = [fault.partition(":")[0].removeprefix(PATIENT) for fault in faults(lgg)]
    assert named == ["_2.tif", "_3.tif", "_4_mask.tif", "_10_mask.tif"]


def test_every_file_unreadable_is_still_told_file_by_file(lgg: Lgg, patient: Path) -> None:
    for path in patient.iterdir():
        path.write_bytes(b"")
    assert len(faults(lgg)) == 24


# phantoms


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in [("a", 3), ("b", 3), ("c", 4)]:
        write_phantom(tmp_path / name, patients=2, size=32, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    images = [
        {data for name, data in contents(tmp_path / folder).items() if name.endswith("tif")} for folder in "ac"
    ]
    assert any(b"\xff" in data for data in images[0])
    assert len(images[0] & images[1]) <= 1  # the mask without tumour


def test_a_phantom_patient_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    write_phantom(tmp_path / "one", patients=1, size=32, seed=3)
    write_phantom(tmp_path / "two", patients=2, size=32, seed=3)
    slices = {name: data for name, data in contents(tmp_path / "one").items() if name.endswith(".tif")}
    assert slices.items() <= contents(tmp_path / "two").items()


def test_phantoms_carry_neither_date_nor_software(phantoms: Path) -> None:
    for path in [next(phantoms.rglob("*_1.tif")), next(phantoms.rglob("*_1_mask.tif"))]:
        with tifffile.TiffFile(path) as file:
            assert {"DateTime", "Software", "ImageDescription"}.isdisjoint(tag.name for tag in file.pages[0].tags)
            assert file.pages[0].compression == 1


def test_phantoms_have_the_archive_s_layout(phantoms: Path) -> None:
    assert {path.name for path in phantoms.iterdir()} == {"kaggle_3m"}
    files = {path.name for path in (phantoms / "kaggle_3m").iterdir() if path.is_file()}
    assert files == {"data.csv", "README.md", ".DS_Store"}
    lines = (phantoms / "kaggle_3m" / "data.csv").read_text().splitlines()
    assert len(lines) == 13
    assert lines[0].split(",") == HEADER.split(",")
    assert len(HEADER.split(",")) == 18


def test_phantoms_open_as_the_archive_does(phantoms: Path) -> None:
    dataset = Lgg(phantoms)
    cases, metadata = dataset.cases(), dataset.metadata()
    assert len(cases) == len(metadata) == 12
    assert all(len(columns) == 17 for columns in metadata.values())
    for case in cases:
        image = dataset.load(case.id).image
        assert 16 <= image.shape[1] <= 28
        assert image.shape[2:] == (64, 64)


def test_some_phantoms_repeat_a_channel_and_lack_clinical_data(phantoms: Path) -> None:
    dataset = Lgg(phantoms)
    images = {case.id: dataset.load(case.id).image for case in dataset.cases()}
    identical = [
        name for name, (pre, flair, post) in images.items() if (pre == flair).all() and (flair == post).all()
    ]
    without_post = [name for name, (_, flair, post) in images.items() if (flair == post).all()]
    assert len(identical) == 1
    assert len(without_post) == 2
    assert dataset.metadata()[identical[0]]["gender"] == ""
    assert (
        dataset.metadata()[without_post[0] if without_post[0] != identical[0] else without_post[1]]["gender"] != ""
    )


def test_phantom_tumours_are_one_piece_on_neighbouring_slices(phantoms: Path) -> None:
    dataset = Lgg(phantoms)
    for case in dataset.cases():
        (slices,) = dataset.load(case.id).label.any((1, 2)).nonzero()
        assert len(slices) >= 3
        assert np.ptp(slices) == len(slices) - 1


def test_phantom_tumours_are_as_large_as_real_ones(phantoms: Path) -> None:
    dataset = Lgg(phantoms)
    labels = [dataset.load(case.id).label for case in dataset.cases()]
    areas = np.concatenate([label.sum((1, 2)) for label in labels]) * (256 / 64) ** 2
    bearing = areas[areas > 0]
    assert 1000 < np.median(bearing) < 2500  # real 1529
    assert bearing.max() < 9000  # real 7929
    assert 0.25 < len(bearing) / len(areas) < 0.5  # real 0.35
    assert 0.005 < np.concatenate(labels).mean() < 0.025  # real 0.0103


def test_phantom_intensities_are_like_real_ones(phantoms: Path) -> None:
    dataset = Lgg(phantoms)
    loaded = [dataset.load(case.id) for case in dataset.cases()]
    head = np.concatenate([case.image[1][head_of(case.image[1]) & (case.label == 0)] for case in loaded])
    tumour = np.concatenate([case.image[1][case.label > 0] for case in loaded])
    assert np.allclose(np.percentile(head, [25, 50, 75, 95]), [45, 56, 67, 99], rtol=0.25)
    assert np.allclose(np.percentile(tumour, [25, 50, 75, 95]), [65, 84, 108, 139], rtol=0.25)
    assert np.median([case.image.max() for case in loaded]) >= 206  # real 206 to 255
    assert 10 < np.mean([case.image[1].mean() for case in loaded]) < 30  # real 5 to 45


def test_the_background_of_phantoms_is_faint_noise(phantoms: Path) -> None:
    dataset = Lgg(phantoms)
    corners = np.concatenate([dataset.load(case.id).image[..., :5, :5].ravel() for case in dataset.cases()])
    assert 0.5 < corners.mean() < 2  # real 1.0
    assert 0.1 < (corners == 0).mean() < 0.5
    assert corners.max() < 12


def test_phantom_channels_are_related_but_not_the_same(phantoms: Path) -> None:
    dataset = Lgg(phantoms)
    images = [dataset.load(case.id).image for case in dataset.cases()]
    related = np.median([np.corrcoef(image[:, head_of(image[1])]) for image in images], axis=0)
    assert 0.7 < related[0, 2] < 0.95  # real 0.82
    assert 0.3 < related[0, 1] < 0.7  # real 0.46
    assert 0.2 < related[1, 2] < 0.7  # real 0.32


def head_of(flair: np.ndarray) -> np.ndarray:
    """The largest bright thing on every slice, without holes."""
    masks = []
    for page in flair > 30:
        things, count = ndimage.label(page)
        largest = 1 + np.argmax(np.bincount(things.ravel())[1:]) if count else -1
        masks.append(ndimage.binary_fill_holes(things == largest))
    return np.stack(masks)


def test_small_heads_are_drawn_whatever_the_seed(tmp_path: Path) -> None:
    for seed in range(5):
        write_phantom(tmp_path / str(seed), patients=3, size=32, seed=seed)
        dataset = Lgg(tmp_path / str(seed))
        labels = [dataset.load(case.id).label for case in dataset.cases()]
        assert all(label.any((1, 2)).sum() >= 3 for label in labels)


def test_a_large_phantom_has_as_many_slices_as_a_real_patient(tmp_path: Path) -> None:
    write_phantom(tmp_path, patients=1, size=256, seed=0)
    (case,) = Lgg(tmp_path).cases()
    image = Lgg(tmp_path).load(case.id).image
    assert 20 <= image.shape[1] <= 60
    assert image.shape[2:] == (256, 256)


# real patients


@pytest.mark.real
def test_real_patients_have_the_slices_that_were_counted(real: Lgg) -> None:
    labels = [real.load(case.id).label for case in real.cases()]
    assert len(labels) == 22
    assert sum(len(label) for label in labels) == 700
    assert sum(label.any((1, 2)).sum() for label in labels) == 244
    assert {value for label in labels for value in np.unique(label)} == {0, 1}


@pytest.mark.real
def test_real_slices_are_read_quickly(real: Lgg) -> None:
    start = time.process_time()
    slices = sum(real.load(case.id).image.shape[1] for case in real.cases()[:5])
    assert (time.process_time() - start) / slices < 0.005  # of 700 slices, 1.2 s


@pytest.mark.real
def test_a_real_slice_is_where_its_number_says(real: Lgg) -> None:
    name = "TCGA_CS_4941_19960909"
    case = real.load(name)
    for n in (1, 2, 10, 23):
        page = tifffile.imread(REAL / "kaggle_3m" / name / f"{name}_{n}.tif")
        assert np.moveaxis(case.image[:, n - 1], 0, -1).tobytes() == page.tobytes()


@pytest.mark.real
def test_real_metadata_belong_to_the_real_patients(real: Lgg) -> None:
    metadata = real.metadata()
    assert metadata.keys() == {case.patient for case in real.cases()}
    row = metadata["TCGA_CS_4941_19960909"]
    assert (row["RNASeqCluster"], row["RPPACluster"], row["age_at_initial_pathologic"]) == ("2", "", "67")
    assert metadata["TCGA_HT_A61B_19991127"]["gender"] == ""


@pytest.mark.real
def test_real_patients_with_repeated_channels_are_loaded_as_they_are(real: Lgg) -> None:
    pre, flair, post = real.load("TCGA_HT_A61B_19991127").image
    assert len(flair) == 88
    assert np.array_equal(pre, flair)
    assert np.array_equal(flair, post)
    pre, flair, post = real.load("TCGA_DU_6407_19860514").image
    assert np.array_equal(flair, post)
    assert not np.array_equal(pre, flair)


@pytest.mark.real
@pytest.mark.parametrize("kept", [8, 8456, 100_000, 202_752, 202_754, 202_800, 202_960])
def test_a_real_tiff_that_was_cut_short_is_named(real: Lgg, tmp_path: Path, kept: int) -> None:
    name = "TCGA_CS_5393_19990606"
    shutil.copytree(REAL / "kaggle_3m" / name, tmp_path / name)
    path = tmp_path / name / f"{name}_7.tif"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=rf"^lgg: {name}/{name}_7.tif: found a file that cannot be decoded"):
        Lgg(tmp_path).load(name)
