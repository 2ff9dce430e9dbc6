"""Every built-in dataset with the built-in U-Net, on phantom data, from file to table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchbench.data.phantom import phantom_root
from benchbench.data.verify import verify
from benchbench.orchestrate import Machine, carry_out
from benchbench.plan import plan_runs
from benchbench.plugins import discover
from benchbench.spec import PhantomSize, read_benchmark

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
REGIONS = {
    "lgg": ("bce+dice", "", 1),
    "brats20": ("bce+dice", ', modalities = ["t1ce", "flair"], targets = "regions"', 3),
    "brats21": ("ce+dice", ', targets = "classes"', 3),
    "cardiac": ("ce", "", 2),
    "hvsmr2": ("bce", "", 8),
    "acdc": ("ce+dice", "", 3),
}


class Silent:
    """Hears nothing."""

    def preparing(self, *_: object) -> None: ...
    def prepared(self) -> None: ...
    def starting(self, *_: object, done: int) -> None: ...
    def heard(self, *_: object) -> None: ...


@pytest.mark.parametrize("dataset", REGIONS)
def test_a_dataset_can_be_rehearsed_from_file_to_table(tmp_path: Path, dataset: str) -> None:
    loss, params, regions = REGIONS[dataset]
    file = tmp_path / "one.toml"
    file.write_text(BENCHMARK.format(dataset=dataset, params=params, loss=loss))
    registry = discover()
    benchmark = read_benchmark(file, check=registry.check, rehearse=True)
    runs = plan_runs(benchmark, registry)
    machine = Machine(results=tmp_path, cache=tmp_path / "cache", data_root=None, devices=("cpu",), jobs=0)
    folder, records = carry_out(benchmark, runs, runs, registry=registry, machine=machine, observer=Silent())
    assert [record.reason for record in records if record] == ["", ""]
    summary = pd.read_csv(folder.path / "summary.csv")
    assert len(set(summary["region"]) - {"mean"}) == regions
    assert set(summary["aggregate"]) == {"case", "slice", "pooled"}
    assert pd.read_csv(folder.path / "folds.csv")["n_cases"].sum() >= 4


@pytest.mark.parametrize("dataset", REGIONS)
def test_a_phantom_verifies_clean(tmp_path: Path, dataset: str) -> None:
    plugin = discover().dataset(dataset)
    root = phantom_root(plugin, PhantomSize(patients=4, size=32), cache=tmp_path)
    found = verify(plugin.open(root / dataset), threads=1, progress=lambda: None)
    assert found.problems == ()
    assert len({case.patient for case in found.cases}) == 4
