"""The same eight patients give the same cases, voxels and folds in every layout, and the same tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from benchbench import CaseRef
from benchbench.data.folder import described_params, open_dataset
from benchbench.data.folds import make_folds
from benchbench.engine.preparation.prepare import prepare_arrays
from benchbench.images.arrays import voxel_digest
from benchbench.registry.parameters import resolve_params
from benchbench.registry.registry import discover
from benchbench.spec.benchmark_file import DatasetEntry
from benchbench.spec.protocol import Protocol

PATIENTS = tuple(f"p{number}" for number in range(8))
PROTOCOL = Protocol.model_validate(
    {"patch": (32, 32), "epochs": 1, "batch": 4, "loss": "bce+dice", "optimizer": {"name": "adam", "lr": 0.01}}
)
Volumes = Mapping[str, tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def volumes() -> Volumes:
    """Patient -> image and label (S, H, W) of 8 bits."""
    rng = np.random.default_rng(0)
    made = {}
    for patient in PATIENTS:
        label = np.zeros((3, 32, 40), np.uint8)
        row, column = rng.integers(2, 14, 2)
        label[:, row : row + 12, column : column + 12] = 1
        image = rng.integers(0, 90, label.shape).astype(np.uint8) + 90 * label
        made[patient] = (image, label)
    return made


def nifti(path: Path, volume: np.ndarray) -> None:
    """Write slices as planes across the third axis, from the feet to the head."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.nifti1.Nifti1Image(np.moveaxis(volume, 0, -1), np.eye(4)), path)


def write_nnunet(root: Path, volumes: Volumes) -> dict[str, Any]:
    for patient, (image, label) in volumes.items():
        nifti(root / f"imagesTr/{patient}_0000.nii.gz", image)
        nifti(root / f"labelsTr/{patient}.nii.gz", label)
    content = {
        "channel_names": {"0": "image"},
        "labels": {"background": 0, "foreground": 1},
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return {"layout": "nnunet"}


def write_msd(root: Path, volumes: Volumes) -> dict[str, Any]:
    for patient, (image, label) in volumes.items():
        nifti(root / f"imagesTr/{patient}.nii.gz", image)
        nifti(root / f"labelsTr/{patient}.nii.gz", label)
    content = {"modality": {"0": "image"}, "labels": {"0": "background", "1": "foreground"}}
    (root / "dataset.json").write_text(json.dumps(content))
    return {"layout": "nnunet"}


def write_png(root: Path, volumes: Volumes) -> dict[str, Any]:
    for patient, pair in volumes.items():
        for name, volume in zip(("images", "masks"), pair, strict=True):
            folder = root / name / patient
            folder.mkdir(parents=True)
            for number, plane in enumerate(volume):
                Image.fromarray(plane).save(folder / f"{number}.png")
    patterns = {"images": "images/{patient}/{slice}.png", "masks": "masks/{patient}/{slice}.png"}
    return {"layout": "folders", **patterns, "regions": {"foreground": 1}}


def write_bids(root: Path, volumes: Volumes) -> dict[str, Any]:
    for patient, (image, label) in volumes.items():
        nifti(root / f"sub-{patient}/anat/sub-{patient}_T1w.nii.gz", image)
        nifti(root / f"derivatives/manual/sub-{patient}/anat/sub-{patient}_dseg.nii.gz", label)
    (root / "derivatives/manual/dseg.tsv").write_text("index\tname\n0\tbackground\n1\tforeground\n")
    return {"layout": "bids"}


def write_bids_masks(root: Path, volumes: Volumes) -> dict[str, Any]:
    for patient, (image, label) in volumes.items():
        nifti(root / f"sub-{patient}/anat/sub-{patient}_T1w.nii.gz", image)
        nifti(root / f"derivatives/manual/sub-{patient}/anat/sub-{patient}_label-lesion_mask.nii.gz", label)
    return {"layout": "bids", "regions": {"foreground": "label-lesion_mask"}}


def write_bids_patterns(root: Path, volumes: Volumes) -> dict[str, Any]:
    write_bids_masks(root, volumes)
    return {
        "layout": "folders",
        "images": "sub-{patient}/anat/sub-{patient}_T1w.nii.gz",
        "masks": "derivatives/*/sub-{patient}/anat/sub-{patient}_*mask.nii.gz",
        "regions": {"foreground": 1},
    }


def write_plugin(root: Path, volumes: Volumes) -> dict[str, Any]:
    for patient, (image, label) in volumes.items():
        np.savez(root / f"{patient}.npz", image=image[None], label=label)
    return {"layout": "squares"}


LAYOUTS: dict[str, Callable[[Path, Volumes], dict[str, Any]]] = {
    "nnunet": write_nnunet,
    "msd": write_msd,
    "png": write_png,
    "bids": write_bids,
    "bids_masks": write_bids_masks,
    "bids_patterns": write_bids_patterns,
    "plugin": write_plugin,
}


def written(name: str, data: Path, volumes: Volumes) -> dict[str, Any]:
    """Write the patients in a layout to the folder of a dataset, and return its entry of a benchmark file."""
    folder = data / "same"
    folder.mkdir(parents=True)
    return {"name": "same", **LAYOUTS[name](folder, volumes)}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_cases_voxels_and_folds(name: str, tmp_path: Path, volumes: Volumes) -> None:
    entry = DatasetEntry.model_validate_json(json.dumps(written(name, tmp_path, volumes)))
    plugin = discover(["bids", "folders", "nnunet_layout", "toy"]).named_dataset(entry)
    params = {**described_params(plugin, data_root=tmp_path), **entry.params}
    dataset = open_dataset(plugin, resolve_params(plugin.open, params), data_root=tmp_path)
    cases = dataset.cases()
    expected = [CaseRef(patient, patient) for patient in PATIENTS]
    assert list(cases) == expected
    assert [fold.digest for fold in make_folds(cases, folds=4, validation=0.2)] == [
        fold.digest for fold in make_folds(expected, folds=4, validation=0.2)
    ]
    for patient, (image, label) in volumes.items():
        arrays = prepare_arrays(dataset.load(patient), dataset.task, PROTOCOL).arrays
        assert np.array_equal(arrays["native"], label)
        assert voxel_digest(arrays["image"]) == voxel_digest(prepared_by_hand(image))


def prepared_by_hand(image: np.ndarray) -> np.ndarray:
    """Return slices of 32 x 40 as the patch of 32 x 32 has them: 26 x 32 with three rows of zeros on each side."""
    import cv2

    slices = np.zeros((len(image), 1, 32, 32), np.uint8)
    for plane, target in zip(image, slices, strict=True):
        target[0, 3:29] = cv2.resize(plane, (32, 26), interpolation=cv2.INTER_AREA)
    return slices


def as_toml(value: object) -> str:
    """Return a text, or a table of numbers and texts, as TOML has it in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(entry)}" for key, entry in value.items()) + " }"
    return json.dumps(value)


@pytest.mark.slow
def test_every_layout_gives_the_same_tables(tmp_path: Path, volumes: Volumes) -> None:
    from commands import benchbench
    from toy_benchmark import BENCHMARK

    tables = {}
    for name in LAYOUTS:
        root = tmp_path / name
        entry = written(name, root / "data", volumes)
        pairs = ", ".join(f"{key} = {as_toml(value)}" for key, value in entry.items())
        text = BENCHMARK.replace('{ name = "squares" }', f"{{ {pairs} }}")
        (root / "same.toml").write_text(text.replace("epochs = 2", "epochs = 1"))
        done = benchbench("run", "same.toml", "--data-root", "data", "--jobs", 0, cwd=root)
        assert done.returncode == 0, done.stderr
        rows = (root / "results/same/folds.csv").read_text().splitlines()
        names = rows[0].split(",")
        at = [names.index(column) for column in ("fold", "model", "dice", "iou")]
        tables[name] = [[row.split(",")[column] for column in at] for row in rows[1:]]
    assert len(tables["nnunet"]) == 2
    assert all(table == tables["nnunet"] for table in tables.values())
