"""The BraTS 2021 plugin on handmade patients, with every fault that has been seen, and on a real patient."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from types import ModuleType
from typing import Literal

import nibabel
import numpy as np
import pytest
from brats_patients import (
    LPS,
    MODALITIES,
    SHAPE,
    case_ids,
    labels,
    load_problems,
    write_patient,
    write_volume,
)

from benchbench import DataError, DataNotFoundError
from benchbench.registry.parameters import check_params, resolve_params
from benchbench_datasets import brats20, brats21
from benchbench_datasets.brats20 import Brats20
from benchbench_datasets.brats21 import Brats21

REAL = Path(__file__).parents[2] / "shared/data/brats21"
CASE = "BraTS2021_00002"


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    return write_patient(tmp_path / CASE)


def problems(patient: Path) -> list[str]:
    return load_problems(Brats21(patient.parent), CASE)


# a folder without faults


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


def test_opening_a_dataset_reads_no_folder() -> None:
    assert Brats20(Path("absent")).task.channels == Brats21(Path("absent")).task.channels


def test_patients_may_be_one_folder_deeper(tmp_path: Path) -> None:
    write_patient(tmp_path / "BraTS2021_Training_Data" / CASE)
    dataset = Brats21(tmp_path)
    assert case_ids(dataset) == [CASE]
    assert dataset.load(CASE).image.shape == (4, *SHAPE)


def test_patients_in_two_folders_are_not_mixed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_patient(tmp_path / name / CASE)
    with pytest.raises(DataError, match="found patients in a, b, expected them in one folder; "):
        Brats21(tmp_path).cases()


@pytest.mark.parametrize("hidden", [".Trash", "__MACOSX", ".ipynb_checkpoints"])
def test_patients_in_hidden_folders_are_no_patients(tmp_path: Path, hidden: str) -> None:
    for name in ("a", hidden):
        write_patient(tmp_path / name / CASE)
    assert case_ids(Brats21(tmp_path)) == [CASE]


def test_a_hidden_root_may_hold_patients(tmp_path: Path) -> None:
    write_patient(tmp_path / ".data" / CASE)
    assert case_ids(Brats21(tmp_path / ".data")) == [CASE]


def test_a_second_copy_deeper_in_the_root_is_not_read(patient: Path) -> None:
    shutil.copytree(patient, patient.parent / "copy" / "BraTS2021_00009")
    assert case_ids(Brats21(patient.parent)) == [CASE]


def test_cases_are_in_natural_order_whatever_else_is_in_the_folder(tmp_path: Path) -> None:
    for name in ("BraTS2021_10", "BraTS2021_9", "BraTS2021_00002", "other", "._BraTS2021_00003"):
        (tmp_path / name).mkdir()
    (tmp_path / "BraTS2021_00001.csv").touch()
    assert case_ids(Brats21(tmp_path)) == ["BraTS2021_00002", "BraTS2021_9", "BraTS2021_10"]


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


def test_there_is_no_metadata(patient: Path) -> None:
    assert Brats21(patient.parent).metadata() == {}


# missing files


@pytest.mark.parametrize("dataset", [Brats20, Brats21])
def test_the_error_of_a_folder_without_patients_names_it(tmp_path: Path, dataset: type[Brats21]) -> None:
    with pytest.raises(DataNotFoundError) as caught:
        dataset(tmp_path / "absent").cases()
    assert str(caught.value).startswith(f"{dataset.__name__.lower()}: {tmp_path}/absent: found no folder BraTS20")


@pytest.mark.parametrize("part", [*MODALITIES, "seg"])
def test_a_missing_file_is_named(patient: Path, part: str) -> None:
    (patient / f"{CASE}_{part}.nii.gz").unlink()
    (problem,) = problems(patient)
    assert problem.startswith(f": found no file of '{part}', expected {CASE}_{part}.nii.gz or .nii; ")


def test_the_error_of_a_patient_without_labels_mentions_the_validation_data(patient: Path) -> None:
    (patient / f"{CASE}_seg.nii.gz").unlink()
    assert "validation data" in problems(patient)[0]


def test_a_file_in_both_suffixes_is_named(patient: Path) -> None:
    shutil.copy(patient / f"{CASE}_t1.nii.gz", patient / f"{CASE}_t1.nii")
    (problem,) = problems(patient)
    assert problem.startswith(f"{CASE}_t1.nii.gz: found {CASE}_t1.nii as well, expected only one of the two; ")


@pytest.mark.parametrize("name", ["BraTS2021_00003_t1.nii.gz", f"{CASE}_T1.nii.gz", f"{CASE}_pd.nii", "x.NII.GZ"])
def test_a_nifti_file_that_is_no_modality_is_named(patient: Path, name: str) -> None:
    shutil.copy(patient / f"{CASE}_t1.nii.gz", patient / name)
    (problem,) = problems(patient)
    assert problem.startswith(f"{name}: found a name of no modality, expected ")


def test_other_files_next_to_the_modalities_are_not_read(patient: Path) -> None:
    for name in (".DS_Store", f"._{CASE}_t1.nii.gz", "notes.txt"):
        (patient / name).touch()
    assert Brats21(patient.parent).load(CASE).image.shape[0] == 4


def test_all_missing_and_unexplained_files_are_reported_at_once(patient: Path) -> None:
    for part in ("t1", "t2", "seg"):
        (patient / f"{CASE}_{part}.nii.gz").rename(patient / f"{part}.nii.gz")
    with pytest.raises(DataError) as caught:
        Brats21(patient.parent).files(CASE)
    assert len(caught.value.problems) == 6


def test_an_unknown_case_is_reported_as_missing_files(patient: Path) -> None:
    with pytest.raises(DataError, match="brats21: BraTS2021_77: found no file of 'flair'"):
        Brats21(patient.parent).files("BraTS2021_77")


# files that cannot be used


def test_label_3_in_data_of_2021_names_the_edition_to_set(patient: Path) -> None:
    write_volume(patient / f"{CASE}_seg.nii.gz", labels(1, 2, 3, 3))
    (problem,) = problems(patient)
    assert problem.startswith(
        f"{CASE}_seg.nii.gz: found unexpected labels 3 (2 voxels), expected only 0, 1, 2, 4; "
    )
    assert "set edition = 2023" in problem


@pytest.mark.parametrize("edition", [2021, 2023])
def test_labels_3_and_4_together_are_those_of_2015(tmp_path: Path, edition: Literal[2021, 2023]) -> None:
    name, names, separator = (CASE, ("flair", "t1", "t1ce", "t2"), "_")
    if edition == 2023:
        name, names, separator = ("BraTS-GLI-00000-000", ("t2f", "t1n", "t1c", "t2w"), "-")
    write_patient(tmp_path / name, label=labels(0, 1, 2, 3, 4), separator=separator, names=names)
    (problem,) = load_problems(Brats21(tmp_path, edition=edition), name)
    assert "are those of BraTS 2012 to 2015, where 3 is non-enhancing tumour: change 3 to 1, then read" in problem
    assert "as brats20, or as brats21 with edition = 2021" in problem


def test_a_wrong_suffix_is_named_at_the_file_that_is_missing(tmp_path: Path) -> None:
    name = "BraTS-GLI-00000-000"
    write_patient(tmp_path / name, separator="-", names=("t2f", "t1n", "t1c", "t2w"))
    (tmp_path / name / f"{name}-t2w.nii.gz").rename(tmp_path / name / f"{name}-t2W.nii.gz")
    with pytest.raises(DataError) as caught:
        Brats21(tmp_path, edition=2023).files(name)
    missing, unexplained = caught.value.problems
    assert missing.endswith(f"; the nearest name there is {name}-t2W.nii.gz: rename it if that is the file")
    assert f"expected a name like {name}-t2w.nii.gz; rename the file" in unexplained


def test_label_4_in_data_of_2023_names_the_edition_to_set(tmp_path: Path) -> None:
    name = "BraTS-GLI-00000-000"
    write_patient(tmp_path / name, label=labels(4), separator="-", names=("t2f", "t1n", "t1c", "t2w"))
    (problem,) = load_problems(Brats21(tmp_path, edition=2023), name)
    assert problem.startswith(
        f"{name}-seg.nii.gz: found unexpected labels 4 (1 voxel), expected only 0, 1, 2, 3; "
    )
    assert "4 is enhancing tumour in older BraTS data" in problem
    assert "set edition = 2021" in problem


def test_unexpected_labels_are_counted(patient: Path) -> None:
    write_volume(patient / f"{CASE}_seg.nii.gz", labels(7, 7, 255, 5, 6, 8))
    (problem,) = problems(patient)
    counts = "5 (1 voxel), 6 (1 voxel), 7 (2 voxels), 8 (1 voxel) and 1 more"
    assert f"found unexpected labels {counts}, expected" in problem


def test_a_modality_on_another_grid_is_named(patient: Path) -> None:
    moved = LPS.copy()
    moved[0, 3] = 5
    write_volume(patient / f"{CASE}_t2.nii.gz", np.ones(SHAPE, np.int16), affine=moved)
    write_volume(patient / f"{CASE}_seg.nii.gz", labels(1, 2, 4).T.copy())
    moved_t2, transposed_seg = problems(patient)
    flair = f"{CASE}/{CASE}_flair.nii.gz"
    assert moved_t2.startswith(
        f"{CASE}_t2.nii.gz: found orientation LPS, spacing (1, 1, 1) mm, origin (5, 239, 0)"
    )
    assert transposed_seg.startswith(
        f"{CASE}_seg.nii.gz: found shape (6, 5, 4), expected (4, 5, 6) like {flair}; "
    )
    assert "transpose" in transposed_seg


def test_labels_mirrored_from_left_to_right_are_refused_because_of_their_affine(patient: Path) -> None:
    write_volume(patient / f"{CASE}_seg.nii.gz", labels(1), affine=LPS @ np.diag([-1, 1, 1, 1]))
    assert "found orientation RPS" in problems(patient)[0]


def test_all_faults_of_a_case_are_reported_at_once(patient: Path) -> None:
    (patient / f"{CASE}_flair.nii.gz").write_bytes(b"")
    (patient / f"{CASE}_t1.nii.gz").write_text("version https://git-lfs.github.com/spec/v1\n")
    (patient / f"{CASE}_t1ce.nii.gz").write_bytes((patient / f"{CASE}_t1ce.nii.gz").read_bytes()[:-9])
    write_volume(patient / f"{CASE}_t2.nii.gz", np.ones((4, 5, 7), np.int16))
    write_volume(patient / f"{CASE}_seg.nii.gz", labels(9))
    messages = [problem.removeprefix(f"{CASE}_").partition(", expected")[0] for problem in problems(patient)]
    assert messages == [
        "flair.nii.gz: found an empty file",
        "t1.nii.gz: found a git-LFS pointer (run git lfs pull)",
        f"t1ce.nii.gz: found a truncated gzip stream of {(patient / f'{CASE}_t1ce.nii.gz').stat().st_size} bytes",
        "seg.nii.gz: found shape (4, 5, 6)",
        "seg.nii.gz: found unexpected labels 9 (1 voxel)",
    ]


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
