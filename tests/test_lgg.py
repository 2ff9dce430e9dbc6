"""The LGG plugin on handmade patients without faults, and on real ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from lgg_patients import PATIENT, write_patient

from benchbench import DataError
from benchbench_datasets.lgg import Lgg, benchbench_datasets

REAL = Path(__file__).parents[2] / "shared/data/lgg"


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """The folder of a patient of 12 slices without any fault."""
    return write_patient(tmp_path / "kaggle_3m")


@pytest.fixture
def lgg(patient: Path) -> Lgg:
    return Lgg(patient.parents[1])


@pytest.fixture(scope="module")
def real() -> Lgg:
    if not REAL.is_dir():
        pytest.skip(f"no real patients in {REAL}")
    return Lgg(REAL)


# a folder without faults


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


def test_files_alternate_between_image_and_mask(lgg: Lgg) -> None:
    names = [path.name.removeprefix(PATIENT) for path in lgg.files(PATIENT)]
    assert names[:4] == ["_1.tif", "_1_mask.tif", "_2.tif", "_2_mask.tif"]
    assert names[-2:] == ["_12.tif", "_12_mask.tif"]
    assert len(names) == 24


def test_one_case_is_one_patient(lgg: Lgg, patient: Path) -> None:
    other = patient.with_name("TCGA_CS_0002_19990101")
    shutil.copytree(patient, other)
    assert [tuple(case) for case in lgg.cases()] == [(other.name, other.name), (PATIENT, PATIENT)]


def test_other_files_next_to_the_patients_are_no_patients(lgg: Lgg, patient: Path) -> None:
    for name in ["data.csv", "README.md", ".DS_Store", "TCGA_notes.txt", f"._{PATIENT}"]:
        (patient.parent / name).write_text("Patient\n")
    assert [case.id for case in lgg.cases()] == [PATIENT]


def test_hidden_files_of_macos_are_no_slices(lgg: Lgg, patient: Path) -> None:
    (patient / ".DS_Store").write_bytes(b"\0")
    (patient / f"._{PATIENT}_1.tif").write_bytes(b"\0")
    (patient / f"._{PATIENT}_1_mask.tif").write_bytes(b"\0")
    assert len(lgg.files(PATIENT)) == 24
    assert lgg.load(PATIENT).image.shape[1] == 12


def test_the_second_copy_in_the_archive_is_not_read_if_there_is_the_first(lgg: Lgg, patient: Path) -> None:
    copy = lgg.root / "lgg-mri-segmentation" / "kaggle_3m"
    shutil.copytree(patient, copy / PATIENT)
    shutil.copytree(patient, copy / "TCGA_CS_0002_19990101")
    assert [case.id for case in lgg.cases()] == [PATIENT]
    assert all(path.parent == patient for path in lgg.files(PATIENT))


def test_the_second_copy_is_read_if_the_first_is_absent(tmp_path: Path) -> None:
    patient = write_patient(tmp_path / "lgg-mri-segmentation" / "kaggle_3m")
    assert Lgg(tmp_path).files(PATIENT)[0].parent == patient


def test_the_patients_may_be_in_the_root(tmp_path: Path) -> None:
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


# real patients


@pytest.mark.slow
@pytest.mark.real
def test_real_patients_have_as_many_slices_as_were_counted(real: Lgg) -> None:
    labels = [real.load(case.id).label for case in real.cases()]
    assert len(labels) == 22
    assert sum(len(label) for label in labels) == 700
    assert sum(label.any((1, 2)).sum() for label in labels) == 244
    assert {value for label in labels for value in np.unique(label)} == {0, 1}


@pytest.mark.real
def test_a_real_slice_is_in_the_place_of_its_number(real: Lgg) -> None:
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
@pytest.mark.parametrize("length", [8, 8456, 100_000, 202_752, 202_754, 202_800, 202_960])
def test_a_real_tiff_that_was_cut_short_is_named(real: Lgg, tmp_path: Path, length: int) -> None:
    name = "TCGA_CS_5393_19990606"
    shutil.copytree(REAL / "kaggle_3m" / name, tmp_path / name)
    path = tmp_path / name / f"{name}_7.tif"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=rf"^lgg: {name}/{name}_7.tif: found .+; copy the file"):
        Lgg(tmp_path).load(name)
