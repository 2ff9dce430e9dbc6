"""Small networks trained on phantoms, in 2D and 3D, whose predictions tests compare with the records of their runs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from unittest import mock

from carry import Recorder

from benchbench.launch.machine import Machine
from benchbench.launch.orchestrate import carry_out
from benchbench.plan.expand import plan_runs
from benchbench.records.run_folder import RunFolder
from benchbench.registry.registry import discover
from benchbench.spec.benchmark import read_benchmark

PLUGINS = ("lgg", "brats20", "brats21", "cardiac", "unet", "unext", "toy")
SLICES = """
title = "Slices"
datasets = [{ name = "lgg" }]
models = [{ name = "unet", widths = [4, 8] }]

[protocol]
patch = [32, 32]
folds = 3
epochs = 1
batch = 8
optimizer = { name = "adam", lr = 1e-2 }
loss = "bce+dice"

[rehearse]
data = { patients = 3, size = 40 }
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
folds = 3
epochs = 2
batch = 1
patches_per_case = 1
oversample_foreground = 1.0
optimizer = { name = "adam", lr = 1e-2 }
loss = "bce+dice"
metrics = ["dice"]
keep = 2

[protocol.postprocess]
nested = true
components = { enhancing = 16 }
search = true

[rehearse]
data = { patients = 3, size = 32 }
"""


class PhantomRun(NamedTuple):
    """The run of fold 0 of a rehearsal."""

    root: Path
    dataset: str

    @property
    def folder(self) -> RunFolder:
        (path,) = (self.root / "results").rglob("fold0_seed0")
        return RunFolder(path)

    @property
    def images(self) -> Path:
        """The folder with the phantoms, which have labels."""
        (path,) = (self.root / "cache").glob(f"phantoms/*/{self.dataset}")
        return path


def train(root: Path, text: str, *, data_root: Path | None = None) -> None:
    """Carry out fold 0 of a benchmark in a folder, without tables and page: a rehearsal unless there are data."""
    file = root / "phantoms.toml"
    file.write_text(text)
    registry = discover(PLUGINS)
    benchmark = read_benchmark(file, check=registry.check, rehearse=data_root is None)
    runs = plan_runs(benchmark, registry)
    machine = Machine(
        results=root / "results", cache=root / "cache", data_root=data_root, devices=("cpu",), jobs=0
    )
    with (
        mock.patch("benchbench.launch.orchestrate.write_tables"),
        mock.patch("benchbench.launch.orchestrate.write_page"),
        mock.patch("benchbench.launch.orchestrate.write_index"),
    ):
        selected = [run for run in runs if run.fold == 0]
        carry_out(benchmark, runs, selected, registry=registry, machine=machine, observer=Recorder())
