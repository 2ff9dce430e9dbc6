"""Made-up cases of a rehearsal have size, voxel size and type of the first cases of the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from commands import benchbench

from benchbench.contract import Case
from benchbench.data.phantom_facts import measure, phantom_facts
from benchbench.registry.registry import discover
from benchbench.spec.benchmark_file import DatasetEntry
from benchbench_datasets.bids import Bids
from benchbench_datasets.bids_phantom import write_phantom as write_bids
from benchbench_datasets.folder_phantom import write_phantom as write_folders
from benchbench_datasets.folders import Folders
from benchbench_datasets.nnunet_layout import NnUnetLayout, describe
from benchbench_datasets.nnunet_layout import write_phantom as write_nnunet

BENCHMARK = """
title = "Stroke"
datasets = [{ name = "stroke", layout = "bids", %s }]
models = [{ name = "unet" }]
[protocol]
patch = [32, 32]
epochs = 1
batch = 2
folds = 2
loss = "bce+dice"
optimizer = { name = "adam", lr = 1e-3 }
[rehearse.data]
patients = 4
size = 32
"""

TYPICAL: dict[str, Any] = {
    "phantom_shape": (64, 48, 20),
    "phantom_spacing_mm": (0.5, 0.5, 3.0),
    "phantom_dtype": "int16",
}


def case(shape: tuple[int, ...], spacing: tuple[float, ...] | None, dtype: type = np.int16) -> Case:
    return Case(
        image=np.zeros((2, *shape), dtype), label=np.zeros(shape, np.uint8), affine=None, spacing_mm=spacing
    )


def test_the_median_of_the_cases_and_the_type_of_the_first_are_measured() -> None:
    cases = [case((10, 20, 30), (1, 1, 3)), case((12, 20, 50), (1, 1, 5)), case((20, 26, 40), (2, 1, 4))]
    assert measure(cases) == {
        "phantom_shape": [12, 20, 40],
        "phantom_spacing_mm": [1.0, 1.0, 4.0],
        "phantom_dtype": "int16",
    }
    planes = [case((10, 20), None, np.uint8), case((10, 20, 30), (1, 1, 3))]
    assert measure(planes) == {"phantom_shape": [10, 20], "phantom_dtype": "uint8"}


def test_a_rehearsal_measures_the_first_cases_and_prints_a_line(tmp_path: Path) -> None:
    root = tmp_path / "data" / "stroke"
    root.mkdir(parents=True)
    write_bids(
        root,
        patients=3,
        size=80,
        seed=0,
        channels=("FLAIR",),
        regions={"core": 1, "rim": 2},
        phantom_shape=(80, 60, 20),
        phantom_spacing_mm=(1.0, 1.0, 3.0),
        phantom_dtype="int16",
    )
    (tmp_path / "stroke.toml").write_text(BENCHMARK % 'channels = ["FLAIR"]')
    done = benchbench("plan", "stroke.toml", "--rehearse", "--data-root", "data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "stroke: made-up cases of 80 x 60 x 20 voxels, scaled to `size` of [rehearse.data], 1 x 1 x 3 mm, int16, as in"
        " the first 3 cases"
    ) in done.stderr


def test_without_files_the_benchmark_file_states_them(tmp_path: Path) -> None:
    registry = discover(["bids"])
    plain = DatasetEntry(name="stroke", layout="bids")
    stated = DatasetEntry(name="stroke", layout="bids", **TYPICAL)
    notes = []
    for entry in (plain, stated):
        facts = phantom_facts(registry.named_dataset(entry), entry.params, data_root=tmp_path)
        assert facts is not None
        assert not facts.params
        notes.append(facts.line)
    assert notes[0] == "stroke: made-up cases of `size` voxels of [rehearse.data], uint8, not measured: no files"
    assert notes[1].startswith(
        "stroke: made-up cases of 64 x 48 x 20 voxels, scaled to `size` of [rehearse.data], 0.5"
    )
    assert notes[1].endswith("x 0.5 x 3 mm, int16, not measured: no files")


def test_a_case_that_cannot_be_read_is_the_reason_in_the_line(tmp_path: Path) -> None:
    folder = tmp_path / "eyes" / "images"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(b"x")
    (tmp_path / "eyes" / "masks").mkdir()
    (tmp_path / "eyes" / "masks" / "a.png").write_bytes(b"x")
    plugin = discover(["folders"]).named_dataset(DatasetEntry(name="eyes", layout="folders"))
    facts = phantom_facts(plugin, {}, data_root=tmp_path)
    assert facts is not None
    assert not facts.params
    assert "not measured: eyes: images/a.png: found" in facts.line


def test_a_dataset_with_a_phantom_of_its_own_is_not_measured(tmp_path: Path) -> None:
    assert phantom_facts(discover(["lgg"]).dataset("lgg"), {}, data_root=tmp_path) is None


def test_made_up_volumes_have_the_proportions_the_voxel_size_and_the_type(tmp_path: Path) -> None:
    for name in ("bids", "nnunet", "folders"):
        (tmp_path / name).mkdir()
    write_bids(tmp_path / "bids", patients=1, size=32, seed=0, **TYPICAL)
    write_nnunet(tmp_path / "nnunet", patients=1, size=32, seed=0, **TYPICAL)
    patterns = {"images": "{case}_t1.nii.gz", "masks": "{case}_m.nii.gz"}
    write_folders(tmp_path / "folders", patients=1, size=32, seed=0, **patterns, **TYPICAL)
    described = {key: value for key, value in describe(tmp_path / "nnunet").items() if key == "file_ending"}
    cases = [
        Bids(tmp_path / "bids").load("p001"),
        NnUnetLayout(tmp_path / "nnunet", channels=("image",), regions={"foreground": 1}, **described).load(
            "p001"
        ),
        Folders(tmp_path / "folders", **patterns).load("p001"),
    ]
    for loaded in cases:
        assert loaded.image.shape == (1, 32, 24, 10)  # 20 / 2 slices
        assert loaded.spacing_mm == (0.5, 0.5, 3.0)
        assert loaded.image.dtype == np.int16
        assert loaded.label.any()


def test_made_up_slices_are_stacked_in_the_measured_number(tmp_path: Path) -> None:
    patterns = {"images": "{patient}/{slice}.png", "masks": "{patient}/{slice}_mask.png"}
    write_folders(
        tmp_path, patients=1, size=32, seed=0, **patterns, phantom_shape=(12, 64, 48), phantom_dtype="uint16"
    )
    loaded = Folders(tmp_path, **patterns).load("p001")
    assert loaded.image.shape == (1, 8, 32, 24)  # 12 / 2, but not fewer than 8
    assert loaded.image.dtype == np.uint16


def test_planes_have_the_measured_proportions(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    write_folders(tmp_path, patients=1, size=40, seed=0, phantom_shape=(60, 80))
    assert Folders(tmp_path).load("p001").image.shape == (1, 30, 40)
