"""Datasets in the layout of nnU-Net: dataset.json of both versions, channels, overlapping regions, ignored labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import benchbench
from numpy.typing import NDArray

from benchbench import CaseRef, DataError
from benchbench.registry.parameters import resolve_params
from benchbench.registry.registry import discover
from benchbench.spec.benchmark import read_benchmark
from benchbench_datasets.brats21 import Brats21
from benchbench_datasets.folder_writers import write_image
from benchbench_datasets.nnunet_layout import NnUnetLayout, describe

REAL = Path(__file__).parents[2] / "shared" / "data"
RNG = np.random.default_rng(0)
VERSION_2: dict[str, Any] = {
    "channel_names": {"0": "T2", "1": "ADC"},
    "labels": {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3},
    "regions_class_order": [1, 2],
    "numTraining": 2,
    "file_ending": ".nii.gz",
}


def open_layout(root: Path, **params: Any) -> NnUnetLayout:
    """Open a dataset with the parameters of its dataset.json, as a benchmark does."""
    return NnUnetLayout(root, **resolve_params(NnUnetLayout, {**describe(root), **params}))


def write_dataset(root: Path, content: dict[str, Any], *, numbered: bool = True, ending: str = ".nii.gz") -> None:
    """Write two cases with two channels."""
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (root / folder).mkdir(parents=True)
    (root / "dataset.json").write_text(json.dumps(content))
    for number in range(2):
        image = voxels(number)
        if numbered:
            for channel in range(2):
                write_image(
                    root / "imagesTr" / f"la_{number:03}_{channel:04}{ending}", image[channel : channel + 1]
                )
        else:
            write_image(root / "imagesTr" / f"la_{number:03}{ending}", image)
        write_image(root / "labelsTr" / f"la_{number:03}{ending}", label(number)[None])


def voxels(number: int) -> NDArray[np.int16]:
    return np.random.default_rng(number).integers(1, 500, (2, 6, 5, 4)).astype(np.int16)


def label(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 4, (6, 5, 4), dtype=np.uint8)


def test_version_2_has_channels_overlapping_regions_and_ignored_voxels(tmp_path: Path) -> None:
    root = tmp_path / "Dataset005_Prostate"
    write_dataset(root, VERSION_2)
    dataset = open_layout(root)
    assert dataset.task.channels == ("T2", "ADC")
    assert dataset.task.regions == {"whole": (1, 2), "core": (2,)}
    assert dataset.task.ignored == (3,)
    assert dataset.cases() == [CaseRef("la_000", "la_000"), CaseRef("la_001", "la_001")]
    case = dataset.load("la_001")
    assert np.array_equal(case.image, voxels(1))
    assert np.array_equal(case.label, label(1))
    assert case.spacing_mm == (1.0, 1.0, 1.0)
    assert [path.name for path in dataset.files("la_001")] == [
        "la_001_0000.nii.gz",
        "la_001_0001.nii.gz",
        "la_001.nii.gz",
    ]


def test_version_1_and_the_decathlon_give_the_same_cases(tmp_path: Path) -> None:
    content = {
        "modality": {"0": "T2", "1": "ADC"},
        "labels": {"0": "background", "1": "PZ", "2": "TZ", "3": "ignore"},
        "training": [{"image": "./imagesTr/la_000.nii.gz", "label": "./labelsTr/la_000.nii.gz"}],
        "test": [],
    }
    write_dataset(tmp_path / "Task005_Prostate", content)
    write_dataset(tmp_path / "decathlon", content, numbered=False)
    first, second = (open_layout(tmp_path / name) for name in ("Task005_Prostate", "decathlon"))
    assert first.task == second.task
    assert first.task.regions == {"PZ": (1,), "TZ": (2,)}
    for case in first.cases():
        one, other = first.load(case.id), second.load(case.id)
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.label, other.label)
        assert one.affine is not None
        assert np.array_equal(one.affine, other.affine)


def test_colour_images_have_all_channels_in_one_file(tmp_path: Path) -> None:
    root = tmp_path / "Dataset120_Roads"
    (root / "imagesTr").mkdir(parents=True)
    (root / "labelsTr").mkdir()
    colours = RNG.integers(0, 255, (3, 8, 9), dtype=np.uint8)
    write_image(root / "imagesTr" / "img-1_0000.png", colours)
    write_image(root / "labelsTr" / "img-1.png", (colours[:1] > 99).astype(np.uint8))
    content = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "road": 1},
        "file_ending": ".png",
    }
    (root / "dataset.json").write_text(json.dumps(content))
    case = open_layout(root).load("img-1")
    assert np.array_equal(case.image, colours)
    assert np.array_equal(case.label, colours[0] > 99)


def test_patients_come_from_the_names_of_cases(tmp_path: Path) -> None:
    root = tmp_path / "Dataset005_Prostate"
    write_dataset(root, VERSION_2)
    assert [case.patient for case in open_layout(root, patient="{patient}_*").cases()] == ["la", "la"]
    with pytest.raises(
        DataError, match=r"la_000: found a name that does not fit the pattern 'p-\{patient\}'; correct"
    ):
        open_layout(root, patient="p-{patient}").cases()


def test_a_missing_channel_and_a_missing_label_are_named(tmp_path: Path) -> None:
    root = tmp_path / "Dataset005_Prostate"
    write_dataset(root, VERSION_2)
    (root / "imagesTr" / "la_000_0001.nii.gz").unlink()
    (root / "labelsTr" / "la_001.nii.gz").unlink()
    dataset = open_layout(root)
    assert [case.id for case in dataset.cases()] == ["la_000"]
    assert [case.id for case in dataset.image_cases()] == ["la_000", "la_001"]
    with pytest.raises(
        DataError, match=r"found no image for it, expected imagesTr/la_000_0001\.nii\.gz; add it or"
    ):
        dataset.files("la_000")
    assert np.array_equal(dataset.load_image("la_001").image, voxels(1))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"channel_names": {"0": "T2", "2": "ADC"}},
            "channel_names: found {'0': 'T2', '2': 'ADC'}, expected a name",
        ),
        ({"channel_names": None}, "channel_names: found None, expected a name for each of the numbers"),
        ({"labels": {"a": "x"}}, "labels.a: found 'x', expected an integer or a list of integers; correct it"),
        ({"labels": []}, "labels: found [], expected a table of names and values; correct it"),
        (
            {"dataset": {"a": {}}},
            "found a list of files under 'dataset', expected files in imagesTr and labelsTr;",
        ),
    ],
)
def test_a_dataset_json_that_cannot_be_used_is_one_line(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps(VERSION_2 | change))
    with pytest.raises(DataError) as caught:
        describe(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'dataset.json'}: {problem}")


def test_a_dataset_json_that_is_damaged_or_missing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.json: found no such file, expected nnU-Net's dataset\.json"):
        describe(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(
        DataError, match=r"dataset\.json: found no JSON .*, expected nnU-Net's dataset\.json; correct it"
    ):
        describe(tmp_path)


BENCHMARK = """title = "Prostate"
datasets = [{ name = "Dataset005_Prostate", layout = "nnunet" }]
models = [{ name = "unet", width = 4 }]
[protocol]
patch = [32, 32]
epochs = 1
batch = 4
loss = "bce+dice"
optimizer = { name = "adam", lr = 1e-3 }
folds = 2
"""


@pytest.mark.usefixtures("card_only")
def test_a_benchmark_takes_channels_and_regions_from_the_files(tmp_path: Path) -> None:
    write_dataset(tmp_path / "Dataset005_Prostate", VERSION_2)
    (tmp_path / "prostate.toml").write_text(BENCHMARK)
    done = benchbench("plan", "prostate.toml", "--data-root", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = benchbench("plan", "prostate.toml", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.strip() == (
        "error: Dataset005_Prostate: its channels and regions are in its dataset.json; give --data-root, or `channels`"
        " and `regions` in the benchmark file"
    )
    named = 'channels = ["T2", "ADC"], regions = { PZ = 1, TZ = 2 }'
    (tmp_path / "prostate.toml").write_text(BENCHMARK.replace('"nnunet" ', f'"nnunet", {named} '))
    done = benchbench("run", "prostate.toml", "--rehearse", "--jobs", 0, "--only", "fold=0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_what_a_benchmark_file_says_counts_more_than_the_files(tmp_path: Path) -> None:
    root = tmp_path / "Dataset005_Prostate"
    write_dataset(root, VERSION_2)
    file = tmp_path / "prostate.toml"
    file.write_text(BENCHMARK.replace('"nnunet" ', '"nnunet", regions = { outer = 1 } '))
    registry = discover()
    benchmark = read_benchmark(file, check=registry.check, describe=lambda _: describe(root))
    (entry,) = benchmark.variants[0].datasets
    assert entry.params == {
        "regions": {"outer": 1},
        "channels": ["T2", "ADC"],
        "ignore": [3],
        "file_ending": ".nii.gz",
    }


@pytest.mark.real
def test_the_real_brats_patient_has_the_same_voxels_in_this_layout(tmp_path: Path) -> None:
    brats = REAL / "brats21"
    if not brats.is_dir():
        pytest.skip("no real BraTS patient")
    original = Brats21(brats)
    case = original.cases()[0]
    root = tmp_path / "Dataset137_BraTS"
    *images, segmentation = original.files(case.id)
    (root / "imagesTr").mkdir(parents=True)
    (root / "labelsTr").mkdir()
    for number, path in enumerate(images):
        shutil.copy(path, root / "imagesTr" / f"brats_{number:04}.nii.gz")
    shutil.copy(segmentation, root / "labelsTr" / "brats.nii.gz")
    content = {
        "channel_names": {str(number): name for number, name in enumerate(original.task.channels)},
        "labels": {"background": 0, **{name: list(values) for name, values in original.task.regions.items()}},
    }
    (root / "dataset.json").write_text(json.dumps(content))
    converted, read = open_layout(root).load("brats"), original.load(case.id)
    assert np.array_equal(converted.image, read.image)
    for values in original.task.regions.values():
        assert np.array_equal(np.isin(converted.label, values), np.isin(read.label, values))
    assert converted.spacing_mm == read.spacing_mm
