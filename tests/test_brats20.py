"""The BraTS 2020 plugin on handmade patients: where they are, what is chosen of them, and their tables."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
from brats_patients import SHAPE, case_ids, labels, load_problems, write_patient

from benchbench import DataError, DataNotFoundError, IncompatibleError
from benchbench_datasets.brats20 import Brats20

CASE = "BraTS20_Training_001"


@pytest.mark.parametrize(
    "place", ["", "MICCAI_BraTS2020_TrainingData", "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData"]
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_patients_are_in_the_root_or_where_the_archives_have_them(tmp_path: Path, place: str, suffix: str) -> None:
    write_patient(tmp_path / place / CASE, suffix=suffix)
    (tmp_path / place / "name_mapping.csv").touch()
    assert case_ids(Brats20(tmp_path)) == [CASE]
    assert Brats20(tmp_path).load(CASE).image.shape == (4, *SHAPE)


def test_patient_355_has_its_labels_under_another_name(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / "BraTS20_Training_355", suffix=".nii")
    (folder / f"{folder.name}_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")
    assert Brats20(tmp_path).files(folder.name)[-1].name == "W39_1998.09.19_Segm.nii"
    assert Brats20(tmp_path).load(folder.name).label.max() == 4


def test_patient_355_may_also_have_its_labels_under_the_usual_name(tmp_path: Path) -> None:
    write_patient(tmp_path / "BraTS20_Training_355")
    assert Brats20(tmp_path).files("BraTS20_Training_355")[-1].name == "BraTS20_Training_355_seg.nii.gz"


def test_no_other_patient_has_the_labels_of_355(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / CASE, suffix=".nii")
    (folder / f"{CASE}_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")
    missing, unexplained = load_problems(Brats20(tmp_path), CASE)
    assert "found no file of 'seg'" in missing
    assert unexplained.startswith("W39_1998.09.19_Segm.nii: found a name of no modality")


def test_label_3_in_data_of_2020_is_refused(tmp_path: Path) -> None:
    write_patient(tmp_path / CASE, label=labels(3))
    (problem,) = load_problems(Brats20(tmp_path), CASE)
    assert (
        "found unexpected labels 3 (1 voxel), expected only 0, 1, 2, 4; 3 is enhancing tumour only from 2023"
        in problem
    )


def test_chosen_modalities_are_the_channels_in_the_same_order(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / CASE)
    (folder / f"{CASE}_t1.nii.gz").unlink()
    dataset = Brats20(tmp_path, modalities=("t2", "flair"))
    assert dataset.task.channels == ("t2", "flair")
    assert dataset.load(CASE).image[:, 0, 0, 0].tolist() == [4, 1]
    assert [path.name.split("_")[-1] for path in dataset.files(CASE)] == [
        "t2.nii.gz",
        "flair.nii.gz",
        "seg.nii.gz",
    ]


@pytest.mark.parametrize("modalities", [(), ("t1", "t1"), ("t1", "pd")])
def test_impossible_modalities_are_refused_when_the_dataset_is_opened(modalities: tuple[str, ...]) -> None:
    with pytest.raises(IncompatibleError, match="expected some of flair, t1, t1ce, t2, each once"):
        Brats20(Path("absent"), modalities=modalities)


def test_slices_are_cut_from_image_and_label_and_move_the_origin(tmp_path: Path) -> None:
    write_patient(tmp_path / CASE)
    case = Brats20(tmp_path, slices=(1, 3)).load(CASE)
    assert case.image.shape == (4, 4, 5, 2)
    assert case.image[0, 0, 0].tolist() == [2, 3]
    assert case.label[0, 0].tolist() == [2, 4]
    assert case.affine is not None
    assert case.affine[:3, 3].tolist() == [0, 239, 1]


@pytest.mark.parametrize("slices", [(-1, 3), (3, 3), (4, 2)])
def test_impossible_slices_are_refused_when_the_dataset_is_opened(slices: tuple[int, int]) -> None:
    with pytest.raises(IncompatibleError, match=r"brats20: slices: found \("):
        Brats20(Path("absent"), slices=slices)


def test_slices_beyond_the_last_are_refused(tmp_path: Path) -> None:
    write_patient(tmp_path / CASE)
    (problem,) = load_problems(Brats20(tmp_path, slices=(0, 7)), CASE)
    assert "found 6 slices, expected at least 7" in problem


def test_patients_without_enhancing_tumour_are_left_out_on_request_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, label in enumerate([labels(1, 2, 4), labels(1, 2), labels(4)], start=1):
        write_patient(tmp_path / f"BraTS20_Training_{number:03}", label=label)
    dataset = Brats20(tmp_path, require="enhancing")
    with caplog.at_level(logging.WARNING):
        assert case_ids(dataset) == ["BraTS20_Training_001", "BraTS20_Training_003"]
    assert dataset.dropped == {"BraTS20_Training_002"}
    assert "1 of 3 patients have no enhancing tumour and are left out: BraTS20_Training_002" in caplog.text
    assert len(case_ids(Brats20(tmp_path))) == 3
    assert Brats20(tmp_path).dropped == frozenset()


def test_labels_are_read_once_to_choose_the_patients(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / CASE)
    dataset = Brats20(tmp_path, require="enhancing")
    dataset.cases()
    shutil.rmtree(folder)
    assert dataset.dropped == frozenset()


def test_every_fault_that_prevents_the_choice_of_patients_is_reported(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_patient(tmp_path / f"BraTS20_Training_{number:03}")
    (tmp_path / "BraTS20_Training_001/BraTS20_Training_001_seg.nii.gz").write_bytes(b"")
    (tmp_path / "BraTS20_Training_003/BraTS20_Training_003_t1.nii.gz").unlink()
    with pytest.raises(DataError) as caught:
        Brats20(tmp_path, require="enhancing").cases()
    empty, missing = caught.value.problems
    assert empty.startswith("brats20: BraTS20_Training_001/BraTS20_Training_001_seg.nii.gz: found an empty file")
    assert missing.startswith("brats20: BraTS20_Training_003: found no file of 't1'")


def test_leaving_out_every_patient_is_an_error(tmp_path: Path) -> None:
    write_patient(tmp_path / CASE, label=labels(1))
    with pytest.raises(DataNotFoundError, match="found no patient with enhancing tumour among 1"):
        Brats20(tmp_path, require="enhancing").cases()


def test_both_tables_are_joined_by_patient_and_kept_as_written(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"BraTS20_Training_{number:03}").mkdir()
    (tmp_path / "name_mapping.csv").write_bytes(
        b"\xef\xbb\xbfGrade,TCGA_TCIA_subject_ID,BraTS_2020_subject_ID\r\n"
        b"HGG,NA,BraTS20_Training_001\r\nLGG,NA,BraTS20_Training_002\r\nHGG,NA,BraTS20_Training_999\r\n"
    )
    (tmp_path / "survival_info.csv").write_text(
        "Brats20ID,Age,Survival_days\nBraTS20_Training_001,060.4,ALIVE (361 days later)\n"
    )
    assert Brats20(tmp_path).metadata() == {
        "BraTS20_Training_001": {
            "Grade": "HGG",
            "TCGA_TCIA_subject_ID": "NA",
            "Age": "060.4",
            "Survival_days": "ALIVE (361 days later)",
        },
        "BraTS20_Training_002": {"Grade": "LGG", "TCGA_TCIA_subject_ID": "NA"},
    }


def test_without_tables_there_is_no_metadata(tmp_path: Path) -> None:
    (tmp_path / CASE).mkdir()
    assert Brats20(tmp_path).metadata() == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Brats20ID,Age\nBraTS20_Training_001\n", "found row 2 of another length than the header"),
        ("Brats20ID,Age\nBraTS20_Training_001,1,2\n", "found row 2 of another length than the header"),
        ("Patient,Age\nBraTS20_Training_001,1\n", "found no column Brats20ID, expected one"),
    ],
)
def test_a_table_that_cannot_be_joined_is_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / CASE).mkdir()
    (tmp_path / "survival_info.csv").write_text(text)
    with pytest.raises(DataError, match=f"^brats20: survival_info.csv: {problem}"):
        Brats20(tmp_path).metadata()
