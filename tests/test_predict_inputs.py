"""The images that `benchbench predict` finds in files and folders."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from lgg_patients import PATIENT, write_patient

from benchbench import Case, CaseRef, DataError, DataNotFoundError, DatasetPlugin
from benchbench.prediction.inputs import Selection, find_images
from benchbench.prediction.trained import Trained, merged_postprocess
from benchbench.registry.registry import discover
from benchbench.spec.inference import Postprocess


@dataclass
class Network:
    """The part of `Trained` that inputs need."""

    dataset: DatasetPlugin
    dataset_params: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> Any:
        return self.dataset.open(Path(), **self.dataset_params).task


def find(dataset: str, *paths: Path, **params: Any) -> Selection:
    network = Network(discover([dataset]).dataset(dataset), params)
    return find_images(paths, cast("Trained", network))


def listed(selection: Selection) -> dict[str, list[str]]:
    return {case.id: [path.name for path in case.files] for case in selection.cases}


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def write_volume(path: Path, shape: tuple[int, ...] = (4, 5, 6)) -> None:
    import nibabel as nib

    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.nifti1.Nifti1Image(np.ones(shape, np.int16), np.diag([-1.0, -1, 1, 1])), path)


# the layout of the dataset


@pytest.mark.parametrize(
    ("dataset", "patient", "endings"),
    [
        ("brats21", "BraTS2021_00007", ("_flair", "_t1", "_t1ce", "_t2")),
        ("brats20", "BraTS20_Validation_007", ("_flair", "_t1", "_t1ce", "_t2")),
        ("brats20", "MICCAI_BraTS2020_ValidationData/BraTS20_Validation_007", ("_flair", "_t1", "_t1ce", "_t2")),
        ("brats20", "BraTS20_Training_007", ("_flair", "_t1", "_t1ce", "_t2")),
    ],
)
def test_a_brats_patient_needs_no_label(
    tmp_path: Path, dataset: str, patient: str, endings: tuple[str, ...]
) -> None:
    name = Path(patient).name
    for ending in endings:
        write_volume(tmp_path / patient / f"{name}{ending}.nii.gz")
    selection = find(dataset, tmp_path)
    assert selection.errors == []
    assert listed(selection) == {name: [f"{name}{ending}.nii.gz" for ending in endings]}
    case = selection.cases[0].load()
    assert case.image.shape == (4, 4, 5, 6)
    assert not case.label.any()


@pytest.mark.parametrize("place", [".", "kaggle_3m", f"kaggle_3m/{PATIENT}"])
def test_a_folder_can_be_the_data_of_one_patient_or_above(tmp_path: Path, place: str) -> None:
    write_patient(tmp_path / "kaggle_3m", slices=2)
    write_patient(tmp_path / "other" / "kaggle_3m", slices=2)
    twice = find("lgg", tmp_path / "kaggle_3m", tmp_path / "kaggle_3m" / PATIENT, tmp_path / "kaggle_3m")
    assert (list(listed(twice)), twice.errors) == ([PATIENT], [])
    selection = find("lgg", tmp_path / place)
    assert listed(selection) == {PATIENT: [f"{PATIENT}_1.tif", f"{PATIENT}_2.tif"]}
    assert selection.cases[0].has_plane_files


def test_the_data_root_and_one_of_several_patients_can_be_named(tmp_path: Path) -> None:
    for number in (1, 2):
        write_volume(tmp_path / "acdc" / f"patient00{number}" / f"patient00{number}_frame01.nii.gz")
        write_volume(tmp_path / "cardiac" / f"testing_axial_crop_pat{number}.nii.gz")
    write_volume(tmp_path / "hvsmr2" / "cropped" / "pat3_cropped.nii.gz")
    assert list(listed(find("acdc", tmp_path))) == ["patient001_frame01", "patient002_frame01"]
    assert list(listed(find("cardiac", tmp_path))) == ["pat1", "pat2"]
    (case,) = find("hvsmr2", tmp_path).cases
    assert case.load().image.shape == (1, 4, 5, 6)


def test_a_missing_modality_is_named_and_the_other_patients_are_found(tmp_path: Path) -> None:
    for name in ("BraTS2021_00001", "BraTS2021_00002"):
        touch(tmp_path / name, *(f"{name}_{part}.nii.gz" for part in ("flair", "t1", "t1ce", "t2")))
    (tmp_path / "BraTS2021_00001" / "BraTS2021_00001_t2.nii.gz").unlink()
    selection = find("brats21", tmp_path)
    assert list(listed(selection)) == ["BraTS2021_00002"]
    (error,) = selection.errors
    assert isinstance(error, DataError)
    assert str(error).startswith("brats21: BraTS2021_00001: found no file of 't2', expected")
    (same,) = find("brats21", tmp_path / "BraTS2021_00001").errors
    assert str(same) == str(error)


def test_patients_in_two_folders_are_an_error_and_not_a_search_for_files(tmp_path: Path) -> None:
    for place in ("a", "b"):
        touch(tmp_path / place / "BraTS2021_00001", "BraTS2021_00001_flair.nii.gz")
    selection = find("brats21", tmp_path)
    (error,) = selection.errors
    assert "found patients in a, b, expected them in one folder" in str(error)


def test_a_dataset_without_a_reader_of_images_gives_its_labelled_cases(tmp_path: Path) -> None:
    from toy_plugin import write_squares

    write_squares(tmp_path, patients=2, size=32, seed=0)
    network = Network(discover(["toy"]).dataset("squares"))
    selection = find_images([tmp_path], cast("Trained", network))
    assert listed(selection) == {f"patient0{n}-a": [f"patient0{n}-a.npz"] for n in (0, 1)}


def test_a_plugin_that_fails_is_named(tmp_path: Path) -> None:
    class Failing:
        task = None

        def __init__(self, root: Path) -> None: ...

        def image_cases(self) -> list[CaseRef]:
            raise KeyError("n")

        def image_files(self, case_id: str) -> list[Path]: ...

        def load_image(self, case_id: str) -> Case: ...

    lgg = discover(["lgg"]).dataset("lgg")

    def open_dataset(root: Path) -> Any:
        return Failing(root) if root.is_absolute() else lgg.open(root)  # the task is read from a relative one

    network = Network(replace(lgg, name="failing", open=open_dataset))
    errors = [str(error) for error in find_images([tmp_path], cast("Trained", network)).errors]
    assert errors[0].startswith("failing: its plugin failed in image_cases() (KeyError: 'n'); correct the plugin")


# other files


def test_channels_belong_to_a_case_by_number_or_by_name(tmp_path: Path) -> None:
    numbered = [f"a_{number:04}.nii.gz" for number in range(4)]
    named = ["b-t2.nii.gz", "b-flair.nii.gz", "b-T1CE.nii.gz", "b-t1.nii.gz"]
    folder = touch(tmp_path / "x", *numbered, *named, "c.nii.gz", "d_flair.nii.gz", ".hidden.nii.gz", "notes.txt")
    selection = find("brats21", folder)
    assert listed(selection) == {
        "a": numbered,
        "b": ["b-flair.nii.gz", "b-t1.nii.gz", "b-T1CE.nii.gz", "b-t2.nii.gz"],
        "c": ["c.nii.gz"],
        "d_flair": ["d_flair.nii.gz"],
    }
    assert selection.errors == []


def test_a_number_is_no_channel_without_the_first_one(tmp_path: Path) -> None:
    names = [f"slice_{number:04}.png" for number in (1, 2)]
    folder = touch(tmp_path / "x", *names)
    assert listed(find("cardiac", folder)) == {"slice_0001": ["slice_0001.png"], "slice_0002": ["slice_0002.png"]}
    touch(folder, "slice_0000.png")
    (error,) = find("cardiac", folder).errors
    names = "slice_0000.png, slice_0001.png, slice_0002.png"
    assert f"x/slice: found {names}, expected one file, or the channels 0000 or ssfp, each once;" in str(error)
    (tmp_path / "y").mkdir()
    touch(tmp_path / "y", "one_0000.png")
    assert listed(find("cardiac", tmp_path / "y")) == {"one": ["one_0000.png"]}


def test_an_incomplete_case_and_a_folder_without_images_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "x", "a_flair.nii.gz", "a_t1.nii.gz")
    (error,) = find("brats21", tmp_path / "x").errors
    assert str(error) == (
        f"{tmp_path / 'x' / 'a'}: found a_flair.nii.gz, a_t1.nii.gz, expected one file, or the channels 0000, 0001,"
        " 0002, 0003 or flair, t1, t1ce, t2, each once; give a file for each channel"
    )
    touch(tmp_path / "twice", "a.nii", "a.nii.gz")  # neither is left out silently
    (error,) = find("cardiac", tmp_path / "twice").errors
    assert "twice/a: found a.nii, a.nii.gz, expected one file" in str(error)
    touch(tmp_path / "empty", "notes.txt")
    (error,) = find("brats21", tmp_path / "empty").errors
    assert isinstance(error, DataNotFoundError)
    assert str(error).startswith(
        f"{tmp_path / 'empty'}: found neither cases in the layout of 'brats21' nor files that end in .nii.gz, .nii"
    )


def test_equal_names_in_two_folders_are_kept_apart_until_their_labels_meet(tmp_path: Path) -> None:
    first = touch(tmp_path / "a", "case_0000.nii.gz", "case_0001.nii.gz", "case_0002.nii.gz", "case_0003.nii.gz")
    second = touch(tmp_path / "b", "CASE.nii.gz")
    assert list(listed(find("brats21", first))) == ["case"]
    selection = find("brats21", first, second)
    assert selection.cases == []
    assert len(selection.errors) == 2
    assert all(error.exit_code == 2 for error in selection.errors)


# post-processing of several folds


def test_rules_of_several_folds_are_mean_thresholds_and_median_sizes() -> None:
    one = Postprocess(nested=True, thresholds={"a": 0.4}, components={"b": 10}, search=True)
    two = Postprocess(nested=True, thresholds={"a": 0.6, "b": 0.4}, components={"b": 20}, search=True)
    three = Postprocess(nested=True, thresholds={"a": 0.35, "b": 0.3}, components={"b": 60}, search=True)
    merged = merged_postprocess([one, two, three], ("a", "b"))
    assert merged
    assert merged.thresholds == pytest.approx({"a": 0.45, "b": 0.4})  # a region without a threshold has 0.5
    assert merged.components == {"a": 0, "b": 20}
    assert merged.totals == {"a": 0, "b": 0}
    assert merged.nested
    assert merged_postprocess([one, one], ("a", "b")) == one
    assert merged_postprocess([None, None], ("a", "b")) is None
