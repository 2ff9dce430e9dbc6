"""Every built-in dataset with the built-in U-Net, on phantom data, from file to table; a real patient at the end."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from carry import Recorder
from prepared_phantoms import open_phantom, prepare

from benchbench.data.phantom import phantom_root
from benchbench.data.verify import verify
from benchbench.engine.batches.patches import open_source
from benchbench.engine.inference.export import label_nifti
from benchbench.engine.inference.predict import Predictor
from benchbench.engine.network.network import geometry_for
from benchbench.engine.training.train import Training
from benchbench.launch.machine import Machine
from benchbench.launch.orchestrate import carry_out
from benchbench.plan.expand import plan_runs
from benchbench.records.folder import ResultsFolder
from benchbench.records.record import Record
from benchbench.registry.registry import discover
from benchbench.spec.benchmark import read_benchmark
from benchbench.spec.benchmark_file import PhantomSize
from benchbench.spec.protocol import Protocol

BENCHMARK = """
title = "One dataset"
datasets = [{{ name = "{dataset}" {params} }}]
models = [{{ name = "unet", width = 4 }}]

[protocol]
patch = [32, 32]
folds = 2
epochs = 1
batch = 8
optimizer = {{ name = "adam", lr = 1e-3 }}
loss = "{loss}"

[rehearse]
data = {{ patients = 4, size = 32 }}
"""
VOLUMES = """
title = "Volumes"
datasets = [{ name = "brats21" }]
models = [{ name = "unet", widths = [4, 8], norm = "instance" }]

[protocol]
ndim = 3
patch = [32, 32, 32]
crop = "nonzero"
intensity = "zscore_nonzero"
epochs = 3
batch = 2
patches_per_case = 4
oversample_foreground = 1.0
optimizer = { name = "adam", lr = 1e-2 }
loss = "bce+dice"
keep = 2
metrics = ["dice"]
folds = 2

[protocol.inference]
flips = true

[protocol.postprocess]
nested = true
components = { enhancing = 16 }
search = true

[[tables]]
rows = "fold"
columns = "model"
value = "dice"

[rehearse]
data = { patients = 4, size = 32 }
"""
PATCHES = """{
    "ndim": 3, "patch": [64, 64, 64], "crop": "nonzero", "intensity": "zscore_nonzero", "epochs": 4, "batch": 2,
    "patches_per_case": 4, "optimizer": { "name": "adam", "lr": 1e-2 }, "loss": "bce+dice", "validate_every": 4,
    "inference": { "overlap": 0.25 }
}"""
REAL = Path(__file__).parents[2] / "shared/data/brats21"
CPU = torch.device("cpu")
REGIONS = {
    "lgg": ("bce+dice", "", 1),
    "brats20": ("bce+dice", ', modalities = ["t1ce", "flair"], targets = "regions"', 3),
    "brats21": ("ce+dice", ', targets = "classes"', 3),
    "cardiac": ("ce", "", 2),
    "hvsmr2": ("bce", "", 8),
    "acdc": ("ce+dice", "", 3),
}
FAST = "lgg"
"""The dataset of the fast suite, which has rehearsals of `cardiac` and, in volumes, of `brats21` as well."""


def rehearse(tmp_path: Path, text: str, *, save_predictions: bool = False) -> tuple[ResultsFolder, list[Record]]:
    """The results of a benchmark of which every run ends well."""
    file = tmp_path / "one.toml"
    file.write_text(text)
    registry = discover()
    benchmark = read_benchmark(file, check=registry.check, rehearse=True)
    runs = plan_runs(benchmark, registry)
    machine = Machine(
        results=tmp_path,
        cache=tmp_path / "cache",
        data_root=None,
        devices=("cpu",),
        jobs=0,
        save_predictions=save_predictions,
    )
    folder, records = carry_out(benchmark, runs, runs, registry=registry, machine=machine, observer=Recorder())
    done = [record for record in records if record]
    assert [record.reason for record in done] == [""] * len(runs)
    return folder, done


def assert_same_grid(prediction: Path, image: Path) -> None:
    predicted, expected = nib.load(prediction), nib.load(image)
    assert predicted.shape == expected.shape
    assert np.array_equal(predicted.affine, expected.affine)


def marks_of(dataset: str) -> list[pytest.MarkDecorator]:
    return [] if dataset == FAST else [pytest.mark.slow]


@pytest.mark.usefixtures("without_page")
@pytest.mark.parametrize("dataset", [pytest.param(dataset, marks=marks_of(dataset)) for dataset in REGIONS])
def test_a_dataset_can_be_rehearsed_from_file_to_table(tmp_path: Path, dataset: str) -> None:
    loss, params, regions = REGIONS[dataset]
    folder, _ = rehearse(tmp_path, BENCHMARK.format(dataset=dataset, params=params, loss=loss))
    summary = pd.read_csv(folder.path / "summary.csv")
    assert len(set(summary["region"]) - {"mean"}) == regions
    assert set(summary["aggregate"]) == {"case", "slice", "pooled"}
    assert pd.read_csv(folder.path / "folds.csv")["n_cases"].sum() >= 4


@pytest.mark.slow
@pytest.mark.usefixtures("without_page")
def test_volumes_can_be_rehearsed_from_file_to_table_and_to_masks_on_the_grid_of_each_case(tmp_path: Path) -> None:
    folder, records = rehearse(tmp_path, VOLUMES, save_predictions=True)
    table = pd.read_csv(folder.path / "tables/1-dice-fold-by-model.csv", index_col=0)
    assert {"0", "1"} <= set(map(str, table.index))
    assert table["unet"].notna().all()
    images = {path.parent.name: path for path in tmp_path.glob("cache/phantoms/*/brats21/*/*_flair.nii.gz")}
    written = {}
    for record in records:
        assert record.postprocess is not None
        assert not record.postprocess["search"]
        assert set(record.postprocess["thresholds"]) == {"whole_tumour", "tumour_core", "enhancing"}
        assert all(0.3 <= threshold <= 0.7 for threshold in record.postprocess["thresholds"].values())
        assert 0 <= record.postprocess["components"]["enhancing"] <= 100
        run = folder.run(record.key).path
        assert len(list(run.glob("best*.safetensors"))) == 2
        written |= {path.name.removesuffix(".nii.gz"): path for path in run.glob("predictions/*.nii.gz")}
    assert set(written) == set(images)
    for case, path in written.items():
        assert_same_grid(path, images[case])
        assert set(np.unique(nib.load(path).dataobj)) <= {0, 1, 2, 4}


@pytest.mark.parametrize("dataset", REGIONS)
def test_a_phantom_verifies_clean(tmp_path: Path, dataset: str) -> None:
    plugin = discover().dataset(dataset)
    root = phantom_root(plugin, PhantomSize(patients=4, size=32), cache=tmp_path)
    verified = verify(plugin.open(root / dataset), threads=1, progress=lambda: None)
    assert verified.problems == ()
    assert len({case.patient for case in verified.cases}) == 4


@pytest.mark.real
@pytest.mark.slow
def test_a_real_patient_is_predicted_on_its_own_grid_by_a_model_that_has_seen_phantoms_only(
    tmp_path: Path,
) -> None:
    if not REAL.is_dir():
        pytest.skip(f"no real patient in {REAL}")
    registry = discover()
    protocol = Protocol.model_validate_json(PATCHES)
    phantom = open_phantom(registry, "brats21", PhantomSize(patients=2, size=48), cache=tmp_path)
    regions = phantom.task.regions
    train, validation = prepare(phantom, protocol, cache=tmp_path)
    geometry = geometry_for(protocol, channels=len(phantom.task.channels), regions=len(regions))
    torch.manual_seed(0)
    model = registry.model("unet").build(geometry, widths=(4, 8, 16), norm="instance")
    sources = (open_source([case], protocol, device=CPU) for case in (train, validation))
    training = Training(model, *sources, protocol, regions=tuple(regions))
    while not training.is_over:
        training.run_epoch(torch.Generator().manual_seed(0), progress=lambda _: None)
    (real,) = prepare(registry.dataset("brats21").open(REAL), protocol, cache=tmp_path)
    predictor = Predictor([model], protocol, CPU)
    masks = predictor.masks(real, predictor.probabilities(real), regions=tuple(regions), postprocess=None)
    path = tmp_path / f"{real.case.id}.nii.gz"
    path.write_bytes(label_nifti(real, masks, regions))
    assert_same_grid(path, REAL / real.case.id / f"{real.case.id}_flair.nii.gz")
    assert 0 < np.count_nonzero(nib.load(path).dataobj) < masks[:, 0].size
