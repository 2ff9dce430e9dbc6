"""The BraTS plugins on small patients, broken in every way that has been seen, on phantoms and on a real patient."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import nibabel
import numpy as np
import pytest

from benchbench import BenchbenchError, DataError, DataNotFoundError, IncompatibleError
from benchbench.registry.parameters import check_params, resolve_params
from benchbench_datasets import brats20, brats21
from benchbench_datasets.brats20 import Brats20
from benchbench_datasets.brats21 import Brats21
from benchbench_datasets.brats_phantom import write_brats20, write_brats21

REAL = Path(__file__).parents[2] / "shared/data/brats21"
LPS = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
MODALITIES = ("flair", "t1", "t1ce", "t2")
SHAPE = (4, 5, 6)
CASE = "BraTS2021_00002"
CASE20 = "BraTS20_Training_001"


def write_volume(path: Path, voxels: np.ndarray, *, affine: np.ndarray = LPS, sform_code: int = 1) -> None:
    image = nibabel.Nifti1Image(voxels, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine if sform_code else None, code=sform_code)
    nibabel.save(image, path)


def labels(*values: int) -> np.ndarray:
    """These values in the first voxels of an empty mask, one in each slice."""
    label = np.zeros(SHAPE, np.uint8)
    label[0, 0, : len(values)] = values
    return label


def write_patient(
    folder: Path,
    *,
    label: np.ndarray | None = None,
    suffix: str = ".nii.gz",
    separator: str = "_",
    names: tuple[str, ...] = MODALITIES,
) -> Path:
    """A patient whose modality c is c + 1 in the first slice, c + 2 in the second and so on."""
    folder.mkdir(parents=True)
    for c, name in enumerate(names):
        voxels = np.broadcast_to(np.arange(SHAPE[2]) + c + 1, SHAPE).astype(np.int16)
        write_volume(folder / f"{folder.name}{separator}{name}{suffix}", voxels)
    label = labels(1, 2, 4) if label is None else label
    write_volume(folder / f"{folder.name}{separator}seg{suffix}", label)
    return folder


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    return write_patient(tmp_path / CASE)


def problems(dataset: Brats20 | Brats21, case_id: str = CASE) -> list[str]:
    """What loading the case raises, each without the place that all begin with."""
    with pytest.raises(DataError) as caught:
        dataset.load(case_id)
    name = type(dataset).__name__.lower()
    place = f"{name}: {dataset.cases()[0].id}"
    assert all(each.startswith(place) for each in caught.value.problems), caught.value.problems
    assert all("expected" in each and "; " in each and "\n" not in each for each in caught.value.problems)
    return [each.removeprefix(place).removeprefix("/") for each in caught.value.problems]


def ids(dataset: Brats20 | Brats21) -> list[str]:
    return [case.id for case in dataset.cases()]


# what a good folder gives


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_case_has_the_four_modalities_in_their_order(tmp_path: Path, suffix: str) -> None:
    write_patient(tmp_path / CASE, suffix=suffix)
    dataset = Brats21(tmp_path)
    case = dataset.load(CASE)
    assert dataset.task.channels == MODALITIES
    assert (case.image.shape, case.image.dtype) == ((4, *SHAPE), np.int16)
    assert case.image[:, 0, 0, 0].tolist() == [1, 2, 3, 4]
    assert (case.label.shape, case.label.dtype) == (SHAPE, np.uint8)
    assert np.array_equal(case.label, labels(1, 2, 4))
    assert case.spacing_mm == (1, 1, 1)
    assert case.affine is not None
    assert np.array_equal(case.affine, LPS)


def test_the_files_of_a_case_are_its_modalities_and_then_the_labels(patient: Path) -> None:
    names = [path.name for path in Brats21(patient.parent).files(CASE)]
    assert names == [f"{CASE}_{part}.nii.gz" for part in (*MODALITIES, "seg")]


def test_regions_overlap_and_classes_do_not(tmp_path: Path) -> None:
    regions = {"whole_tumour": (1, 2, 4), "tumour_core": (1, 4), "enhancing": (4,)}
    classes = {"necrosis": (1,), "oedema": (2,), "enhancing": (4,)}
    for dataset in (Brats20, Brats21):
        assert dataset(tmp_path).task.regions == regions
        assert dataset(tmp_path, targets="classes").task.regions == classes
    later = Brats21(tmp_path, edition=2023)
    assert later.task.regions == {"whole_tumour": (1, 2, 3), "tumour_core": (1, 3), "enhancing": (3,)}


def test_opening_a_dataset_looks_at_no_folder() -> None:
    assert Brats20(Path("absent")).task.channels == Brats21(Path("absent")).task.channels


def test_patients_may_lie_one_folder_deeper(tmp_path: Path) -> None:
    write_patient(tmp_path / "BraTS2021_Training_Data" / CASE)
    dataset = Brats21(tmp_path)
    assert ids(dataset) == [CASE]
    assert dataset.load(CASE).image.shape == (4, *SHAPE)


def test_patients_in_two_folders_are_not_mixed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_patient(tmp_path / name / CASE)
    with pytest.raises(DataError, match="found patients in a, b, expected them in one folder; "):
        Brats21(tmp_path).cases()


@pytest.mark.parametrize("rubbish", [".Trash", "__MACOSX", ".ipynb_checkpoints"])
def test_patients_in_hidden_folders_are_no_patients(tmp_path: Path, rubbish: str) -> None:
    for name in ("a", rubbish):
        write_patient(tmp_path / name / CASE)
    assert ids(Brats21(tmp_path)) == [CASE]


def test_a_hidden_root_may_hold_patients(tmp_path: Path) -> None:
    write_patient(tmp_path / ".data" / CASE)
    assert ids(Brats21(tmp_path / ".data")) == [CASE]


def test_a_second_copy_deeper_in_the_root_is_not_read(patient: Path) -> None:
    shutil.copytree(patient, patient.parent / "copy" / "BraTS2021_00009")
    assert ids(Brats21(patient.parent)) == [CASE]


def test_cases_are_in_natural_order_whatever_lies_beside_them(tmp_path: Path) -> None:
    for name in ("BraTS2021_10", "BraTS2021_9", "BraTS2021_00002", "other", "._BraTS2021_00003"):
        (tmp_path / name).mkdir()
    (tmp_path / "BraTS2021_00001.csv").touch()
    assert ids(Brats21(tmp_path)) == ["BraTS2021_00002", "BraTS2021_9", "BraTS2021_10"]


def test_labels_may_be_float_without_sform(patient: Path) -> None:
    write_volume(patient / f"{CASE}_seg.nii.gz", labels(1, 2, 4).astype(np.float32), sform_code=0)
    case = Brats21(patient.parent).load(CASE)
    assert case.label.dtype == np.uint8
    assert np.array_equal(case.label, labels(1, 2, 4))


def test_later_editions_have_other_names_and_several_visits_of_a_patient(tmp_path: Path) -> None:
    for name in ("BraTS-GLI-00000-001", "BraTS-GLI-00000-000", "BraTS-GLI-00002-000"):
        names = ("t2f", "t1n", "t1c", "t2w")
        write_patient(tmp_path / name, label=labels(1, 2, 3), separator="-", names=names)
    dataset = Brats21(tmp_path, edition=2023)
    assert [tuple(case) for case in dataset.cases()] == [
        ("BraTS-GLI-00000-000", "BraTS-GLI-00000"),
        ("BraTS-GLI-00000-001", "BraTS-GLI-00000"),
        ("BraTS-GLI-00002-000", "BraTS-GLI-00002"),
    ]
    case = dataset.load("BraTS-GLI-00000-001")
    assert case.image[:, 0, 0, 0].tolist() == [1, 2, 3, 4]
    assert case.label.max() == 3


@pytest.mark.parametrize("module", [brats20, brats21])
def test_each_plugin_registers_itself(tmp_path: Path, module: ModuleType) -> None:
    (plugin,) = module.benchbench_datasets()
    assert plugin.name == module.__name__.rpartition(".")[2]
    plugin.phantom(tmp_path, patients=1, size=32, seed=0)
    dataset = plugin.open(tmp_path)
    assert dataset.load(dataset.cases()[0].id).image.shape == (4, 32, 32, 21)


def test_a_benchmark_may_set_every_parameter() -> None:
    given = {"targets": "classes", "modalities": ["t1"], "require": "enhancing", "slices": [20, 130]}
    assert resolve_params(Brats20, given) == {**given, "modalities": ("t1",), "slices": (20, 130)}
    assert resolve_params(Brats21, {"edition": 2023}) == {"targets": "regions", "edition": 2023}
    assert check_params(Brats21, {"edition": 2022}) == [("edition", "input should be 2021 or 2023, found 2022")]


# what is not there


@pytest.mark.parametrize("dataset", [Brats20, Brats21])
def test_no_patient_is_told_with_the_folder(tmp_path: Path, dataset: type[Brats21]) -> None:
    with pytest.raises(DataNotFoundError) as caught:
        dataset(tmp_path / "absent").cases()
    assert str(caught.value).startswith(f"{dataset.__name__.lower()}: {tmp_path}/absent: found no folder BraTS20")


@pytest.mark.parametrize("part", [*MODALITIES, "seg"])
def test_a_missing_file_is_named(patient: Path, part: str) -> None:
    (patient / f"{CASE}_{part}.nii.gz").unlink()
    (problem,) = problems(Brats21(patient.parent))
    assert problem.startswith(f": found no file of '{part}', expected {CASE}_{part}.nii.gz or .nii; ")


def test_a_patient_without_labels_may_be_of_the_validation_data(patient: Path) -> None:
    (patient / f"{CASE}_seg.nii.gz").unlink()
    assert "validation data" in problems(Brats21(patient.parent))[0]


def test_a_file_in_both_suffixes_is_named(patient: Path) -> None:
    shutil.copy(patient / f"{CASE}_t1.nii.gz", patient / f"{CASE}_t1.nii")
    (problem,) = problems(Brats21(patient.parent))
    assert problem.startswith(f"{CASE}_t1.nii.gz: found {CASE}_t1.nii beside it, expected one of the two; ")


@pytest.mark.parametrize("name", ["BraTS2021_00003_t1.nii.gz", f"{CASE}_T1.nii.gz", f"{CASE}_pd.nii", "x.NII.GZ"])
def test_a_nifti_file_that_is_no_modality_is_named(patient: Path, name: str) -> None:
    shutil.copy(patient / f"{CASE}_t1.nii.gz", patient / name)
    (problem,) = problems(Brats21(patient.parent))
    assert problem.startswith(f"{name}: found a name of no modality, expected ")


def test_other_files_beside_the_modalities_are_left_alone(patient: Path) -> None:
    for name in (".DS_Store", f"._{CASE}_t1.nii.gz", "notes.txt"):
        (patient / name).touch()
    assert Brats21(patient.parent).load(CASE).image.shape[0] == 4


def test_all_missing_and_odd_files_are_told_at_once(patient: Path) -> None:
    for part in ("t1", "t2", "seg"):
        (patient / f"{CASE}_{part}.nii.gz").rename(patient / f"{part}.nii.gz")
    with pytest.raises(DataError) as caught:
        Brats21(patient.parent).files(CASE)
    assert len(caught.value.problems) == 6


def test_an_unknown_case_is_told_as_missing_files(patient: Path) -> None:
    with pytest.raises(DataError, match="brats21: BraTS2021_77: found no file of 'flair'"):
        Brats21(patient.parent).files("BraTS2021_77")


# what cannot be used


def test_label_3_in_data_of_2021_names_the_edition_to_set(patient: Path) -> None:
    write_volume(patient / f"{CASE}_seg.nii.gz", labels(1, 2, 3, 3))
    (problem,) = problems(Brats21(patient.parent))
    assert problem.startswith(f"{CASE}_seg.nii.gz: found label 3 (2 voxels), expected only 0, 1, 2 and 4; ")
    assert "set edition = 2023" in problem


def test_label_4_in_data_of_2023_is_told_as_legacy(tmp_path: Path) -> None:
    name = "BraTS-GLI-00000-000"
    write_patient(tmp_path / name, label=labels(4), separator="-", names=("t2f", "t1n", "t1c", "t2w"))
    (problem,) = problems(Brats21(tmp_path, edition=2023), name)
    assert problem.startswith(f"{name}-seg.nii.gz: found label 4 (1 voxels), expected only 0, 1, 2 and 3; ")
    assert "legacy BraTS labels" in problem
    assert "set edition = 2021" in problem


def test_label_3_in_data_of_2020_is_refused(tmp_path: Path) -> None:
    write_patient(tmp_path / CASE20, label=labels(3))
    (problem,) = problems(Brats20(tmp_path), CASE20)
    assert "found label 3 (1 voxels), expected only 0, 1, 2 and 4; 3 is enhancing tumour only from 2023" in problem


def test_unexpected_labels_are_counted(patient: Path) -> None:
    write_volume(patient / f"{CASE}_seg.nii.gz", labels(7, 7, 255, 5, 6, 8))
    (problem,) = problems(Brats21(patient.parent))
    listed = "found label 5 (1 voxels), 6 (1 voxels), 7 (2 voxels), 8 (1 voxels) and 1 more values, expected"
    assert listed in problem


def test_a_modality_on_another_grid_is_named(patient: Path) -> None:
    moved = LPS.copy()
    moved[0, 3] = 5
    write_volume(patient / f"{CASE}_t2.nii.gz", np.ones(SHAPE, np.int16), affine=moved)
    write_volume(patient / f"{CASE}_seg.nii.gz", labels(1, 2, 4).T.copy())
    moved_t2, transposed_seg = problems(Brats21(patient.parent))
    flair = f"{CASE}/{CASE}_flair.nii.gz"
    assert moved_t2.startswith(
        f"{CASE}_t2.nii.gz: found orientation LPS, spacing (1, 1, 1) mm, origin (5, 239, 0)"
    )
    assert transposed_seg.startswith(
        f"{CASE}_seg.nii.gz: found shape (6, 5, 4), expected (4, 5, 6) like {flair}; "
    )
    assert "transpose" in transposed_seg


def test_labels_mirrored_from_left_to_right_are_found_by_their_affine(patient: Path) -> None:
    write_volume(patient / f"{CASE}_seg.nii.gz", labels(1), affine=LPS @ np.diag([-1, 1, 1, 1]))
    assert "found orientation RPS" in problems(Brats21(patient.parent))[0]


def test_all_faults_of_a_case_are_told_at_once(patient: Path) -> None:
    (patient / f"{CASE}_flair.nii.gz").write_bytes(b"")
    (patient / f"{CASE}_t1.nii.gz").write_text("version https://git-lfs.github.com/spec/v1\n")
    (patient / f"{CASE}_t1ce.nii.gz").write_bytes((patient / f"{CASE}_t1ce.nii.gz").read_bytes()[:-9])
    write_volume(patient / f"{CASE}_t2.nii.gz", np.ones((4, 5, 7), np.int16))
    write_volume(patient / f"{CASE}_seg.nii.gz", labels(9))
    named = [
        each.removeprefix(f"{CASE}_").partition(", expected")[0] for each in problems(Brats21(patient.parent))
    ]
    assert named == [
        "flair.nii.gz: found an empty file",
        "t1.nii.gz: found a git-LFS pointer (run git lfs pull)",
        f"t1ce.nii.gz: found a truncated gzip stream of {(patient / f'{CASE}_t1ce.nii.gz').stat().st_size} bytes",
        "seg.nii.gz: found shape (4, 5, 6)",
        "seg.nii.gz: found label 9 (1 voxels)",
    ]


# BraTS 2020


@pytest.mark.parametrize(
    "place", ["", "MICCAI_BraTS2020_TrainingData", "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData"]
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_2020_lies_in_the_root_or_where_its_archives_put_it(tmp_path: Path, place: str, suffix: str) -> None:
    write_patient(tmp_path / place / CASE20, suffix=suffix)
    (tmp_path / place / "name_mapping.csv").touch()
    assert ids(Brats20(tmp_path)) == [CASE20]
    assert Brats20(tmp_path).load(CASE20).image.shape == (4, *SHAPE)


def test_patient_355_has_its_labels_under_another_name(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / "BraTS20_Training_355", suffix=".nii")
    (folder / f"{folder.name}_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")
    assert Brats20(tmp_path).files(folder.name)[-1].name == "W39_1998.09.19_Segm.nii"
    assert Brats20(tmp_path).load(folder.name).label.max() == 4


def test_patient_355_may_also_have_its_labels_under_the_usual_name(tmp_path: Path) -> None:
    write_patient(tmp_path / "BraTS20_Training_355")
    assert Brats20(tmp_path).files("BraTS20_Training_355")[-1].name == "BraTS20_Training_355_seg.nii.gz"


def test_no_other_patient_has_the_labels_of_355(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / CASE20, suffix=".nii")
    (folder / f"{CASE20}_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")
    missing, odd = problems(Brats20(tmp_path), CASE20)
    assert "found no file of 'seg'" in missing
    assert odd.startswith("W39_1998.09.19_Segm.nii: found a name of no modality")


def test_chosen_modalities_are_the_channels_in_the_order_given(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / CASE20)
    (folder / f"{CASE20}_t1.nii.gz").unlink()
    dataset = Brats20(tmp_path, modalities=("t2", "flair"))
    assert dataset.task.channels == ("t2", "flair")
    assert dataset.load(CASE20).image[:, 0, 0, 0].tolist() == [4, 1]
    assert [path.name.split("_")[-1] for path in dataset.files(CASE20)] == [
        "t2.nii.gz",
        "flair.nii.gz",
        "seg.nii.gz",
    ]


@pytest.mark.parametrize("modalities", [(), ("t1", "t1"), ("t1", "pd")])
def test_modalities_that_cannot_be_are_refused_at_once(modalities: tuple[str, ...]) -> None:
    with pytest.raises(IncompatibleError, match="expected some of flair, t1, t1ce, t2, each once"):
        Brats20(Path("absent"), modalities=modalities)


def test_slices_are_cut_from_image_and_label_and_move_the_origin(tmp_path: Path) -> None:
    write_patient(tmp_path / CASE20)
    case = Brats20(tmp_path, slices=(1, 3)).load(CASE20)
    assert case.image.shape == (4, 4, 5, 2)
    assert case.image[0, 0, 0].tolist() == [2, 3]
    assert case.label[0, 0].tolist() == [2, 4]
    assert case.affine is not None
    assert case.affine[:3, 3].tolist() == [0, 239, 1]


@pytest.mark.parametrize("slices", [(-1, 3), (3, 3), (4, 2)])
def test_slices_that_cannot_be_are_refused_at_once(slices: tuple[int, int]) -> None:
    with pytest.raises(IncompatibleError, match=r"brats20: slices: found \("):
        Brats20(Path("absent"), slices=slices)


def test_slices_beyond_the_last_are_refused(tmp_path: Path) -> None:
    write_patient(tmp_path / CASE20)
    (problem,) = problems(Brats20(tmp_path, slices=(0, 7)), CASE20)
    assert "found 6 slices, expected at least 7" in problem


def test_patients_without_enhancing_tumour_are_left_out_where_asked_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, label in enumerate([labels(1, 2, 4), labels(1, 2), labels(4)], start=1):
        write_patient(tmp_path / f"BraTS20_Training_{number:03}", label=label)
    dataset = Brats20(tmp_path, require="enhancing")
    with caplog.at_level(logging.WARNING):
        assert ids(dataset) == ["BraTS20_Training_001", "BraTS20_Training_003"]
    assert dataset.dropped == {"BraTS20_Training_002"}
    assert "1 of 3 patients have no enhancing tumour and are left out: BraTS20_Training_002" in caplog.text
    assert len(ids(Brats20(tmp_path))) == 3
    assert Brats20(tmp_path).dropped == frozenset()


def test_labels_are_read_once_to_find_who_is_left_out(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / CASE20)
    dataset = Brats20(tmp_path, require="enhancing")
    dataset.cases()
    shutil.rmtree(folder)
    assert dataset.dropped == frozenset()


def test_every_fault_that_hinders_the_choice_of_patients_is_told(tmp_path: Path) -> None:
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
    write_patient(tmp_path / CASE20, label=labels(1))
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


def test_without_tables_there_is_no_metadata(tmp_path: Path, patient: Path) -> None:
    (tmp_path / CASE20).mkdir()
    assert Brats20(tmp_path).metadata() == {}
    assert Brats21(tmp_path).metadata() == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Brats20ID,Age\nBraTS20_Training_001\n", "found row 2 of another length than the header"),
        ("Brats20ID,Age\nBraTS20_Training_001,1,2\n", "found row 2 of another length than the header"),
        ("Patient,Age\nBraTS20_Training_001,1\n", "found no column Brats20ID, expected one"),
    ],
)
def test_a_table_that_cannot_be_joined_is_named(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / CASE20).mkdir()
    (tmp_path / "survival_info.csv").write_text(text)
    with pytest.raises(DataError, match=f"^brats20: survival_info.csv: {found}"):
        Brats20(tmp_path).metadata()


# phantoms


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight patients in each layout."""
    root = tmp_path_factory.mktemp("phantoms")
    write_brats21(root / "brats21", patients=8, size=48, seed=0)
    write_brats20(root / "brats20", patients=4, size=32, seed=0)
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("write", [write_brats20, write_brats21])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, write: Callable[..., None]) -> None:
    for name, seed in [("a", 3), ("b", 3), ("c", 4)]:
        write(tmp_path / name, patients=1, size=32, seed=seed)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert all(a[name] != c[name] for name in a if "nii" in name)


def test_phantoms_carry_no_date(phantoms: Path) -> None:
    assert all(data[4:8] == bytes(4) for data in contents(phantoms / "brats21").values())


def test_a_phantom_patient_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    write_brats21(tmp_path / "one", patients=1, size=32, seed=3)
    write_brats21(tmp_path / "two", patients=2, size=32, seed=3)
    assert contents(tmp_path / "one").items() <= contents(tmp_path / "two").items()


def test_phantoms_are_not_written_over_patients(tmp_path: Path) -> None:
    write_brats21(tmp_path, patients=1, size=32, seed=3)
    with pytest.raises(BenchbenchError, match="expected none before phantoms are written"):
        write_brats21(tmp_path, patients=1, size=32, seed=3)


def test_phantoms_of_2021_have_the_archive_s_names(phantoms: Path) -> None:
    numbers = [path.name for path in sorted((phantoms / "brats21").iterdir())]
    assert numbers[:4] == ["BraTS2021_00000", "BraTS2021_00002", "BraTS2021_00003", "BraTS2021_00005"]
    assert len(contents(phantoms / "brats21")) == 8 * 5
    assert all(name.endswith(".nii.gz") for name in contents(phantoms / "brats21"))


def test_phantoms_of_2020_have_the_kaggle_copy_s_names(phantoms: Path) -> None:
    names = contents(phantoms / "brats20")
    folder = "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData"
    assert {f"{folder}/name_mapping.csv", f"{folder}/survival_info.csv"} <= names.keys()
    assert f"{folder}/BraTS20_Training_355/W39_1998.09.19_Segm.nii" in names
    assert ids(Brats20(phantoms / "brats20")) == [f"BraTS20_Training_{n}" for n in ("001", "002", "003", "355")]
    assert not any(name.endswith(".gz") for name in names)
    metadata = Brats20(phantoms / "brats20").metadata()
    assert {row["Grade"] for row in metadata.values()} <= {"HGG", "LGG"}
    assert len(metadata) == 4


def test_phantoms_have_the_archive_s_headers(phantoms: Path) -> None:
    image = nibabel.load(phantoms / "brats21/BraTS2021_00000/BraTS2021_00000_t1.nii.gz")
    assert image.shape == (48, 48, 31)
    assert image.get_data_dtype() == np.int16
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == (5, 5, 5)
    assert image.affine[:3, 3].tolist() == [0, 235, 0]
    assert (image.header["qform_code"], image.header["sform_code"], image.header["xyzt_units"]) == (1, 1, 2)


def test_the_second_phantom_has_float_labels_without_sform(phantoms: Path) -> None:
    seg = nibabel.load(phantoms / "brats21/BraTS2021_00002/BraTS2021_00002_seg.nii.gz")
    assert seg.get_data_dtype() == np.float32
    assert (seg.header["qform_code"], seg.header["sform_code"]) == (1, 0)


def test_the_third_phantom_alone_has_no_enhancing_tumour(phantoms: Path) -> None:
    dataset = Brats21(phantoms / "brats21")
    found = [set(np.unique(dataset.load(case.id).label).tolist()) for case in dataset.cases()]
    assert found == [{0, 1, 2} if at == 2 else {0, 1, 2, 4} for at in range(8)]
    assert Brats20(phantoms / "brats20", require="enhancing").dropped == {"BraTS20_Training_003"}


def test_the_background_of_phantoms_is_0_in_all_modalities_and_only_there(phantoms: Path) -> None:
    dataset = Brats21(phantoms / "brats21")
    for case in dataset.cases():
        loaded = dataset.load(case.id)
        brain = loaded.image > 0
        assert (brain == brain[0]).all()
        assert loaded.image.min() == 0
        assert 0.10 < brain[0].mean() < 0.19  # real 0.11 to 0.19
        assert brain[0][loaded.label > 0].all()


def test_phantom_tumours_are_as_large_as_real_ones(phantoms: Path) -> None:
    dataset = Brats21(phantoms / "brats21")
    shares = np.array([[(dataset.load(case.id).label == v).mean() for v in (1, 2, 4)] for case in dataset.cases()])
    whole_ml = shares.sum(1) * 240 * 240 * 155 / 1000
    assert 50 < np.median(whole_ml) < 145  # real 90, quartiles 50 and 145
    assert 7 < whole_ml.min() < whole_ml.max() < 360  # the real extremes
    assert np.allclose(np.median(shares, axis=0), [0.0012, 0.0056, 0.0017], rtol=0.7)


def test_phantom_contrasts_are_like_real_ones(phantoms: Path) -> None:
    dataset = Brats21(phantoms / "brats21")
    ratios = []
    for case in dataset.cases():
        image, label = dataset.load(case.id).image, dataset.load(case.id).label
        brain = image[:, (image[0] > 0) & (label == 0)].mean(1)
        ratios.append([image[:, label == value].mean(1) / brain for value in (1, 2, 4) if (label == value).any()])
    necrosis, oedema, rim = np.mean([each for each in ratios if len(each) == 3], axis=0)
    flair, t1, t1ce, t2 = range(4)
    assert oedema[flair] > 1.3  # real 1.55
    assert rim[t1ce] > 1.3  # real 2.1
    assert necrosis[t1ce] < 1
    assert rim[t1] < 1.1
    assert necrosis[t2] > oedema[t2] > 1.05  # real 1.6 and 1.1


def test_the_rim_lies_around_the_necrosis(phantoms: Path) -> None:
    label = Brats21(phantoms / "brats21").load("BraTS2021_00000").label
    inner, outer = (np.argwhere(label == value) for value in (1, 4))
    centre = inner.mean(0)
    assert np.linalg.norm(outer - centre, axis=1).mean() > 1.2 * np.linalg.norm(inner - centre, axis=1).mean()


def test_small_phantoms_are_drawn_whatever_the_seed(tmp_path: Path) -> None:
    for seed in range(4):
        write_brats21(tmp_path / str(seed), patients=2, size=32, seed=seed)
        dataset = Brats21(tmp_path / str(seed))
        assert all({1, 2, 4} <= set(np.unique(dataset.load(case.id).label)) for case in dataset.cases())


# a real patient


@pytest.fixture(scope="module")
def real() -> Brats21:
    if not REAL.is_dir():
        pytest.skip(f"no real patient in {REAL}")
    return Brats21(REAL)


@pytest.mark.real
def test_a_real_patient_is_read_as_it_was_measured(real: Brats21) -> None:
    start = time.process_time()
    (case,) = real.cases()
    loaded = real.load(case.id)
    assert time.process_time() - start < 8  # about 1 where nothing else runs
    assert (case.id, case.patient) == ("BraTS2021_07294", "BraTS2021_07294")
    assert (loaded.image.shape, loaded.image.dtype) == ((4, 240, 240, 155), np.int16)
    assert (loaded.label.shape, loaded.label.dtype) == ((240, 240, 155), np.uint8)
    assert np.bincount(loaded.label.ravel())[1:].tolist() == [8896, 14611, 0, 5]
    assert nibabel.aff2axcodes(loaded.affine) == ("L", "P", "S")
    assert loaded.spacing_mm == (1, 1, 1)
    assert [int(channel.max()) for channel in loaded.image] == [788, 856, 1879, 2588]


@pytest.mark.real
def test_a_real_file_that_was_cut_short_is_named(real: Brats21, tmp_path: Path) -> None:
    shutil.copytree(REAL / "BraTS2021_07294", tmp_path / "BraTS2021_07294")
    path = tmp_path / "BraTS2021_07294" / "BraTS2021_07294_t2.nii.gz"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:1_000_000])
    with pytest.raises(DataError, match=r"t2\.nii\.gz: found a truncated gzip stream of 1,000,000 bytes"):
        Brats21(tmp_path).load("BraTS2021_07294")
