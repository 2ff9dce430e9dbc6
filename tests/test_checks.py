from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchbench import DatasetPlugin, Download, Geometry, IncompatibleError, ModelPlugin, Task
from benchbench.errors import SpecError
from benchbench.launch.child import call_each_in_child
from benchbench.launch.preflight import check_models, check_steps, find_refusals
from benchbench.plan.expand import plan_runs
from benchbench.registry.registry import Installed, Origin, Registry
from benchbench.spec.benchmark import Benchmark, read_benchmark

FILE = """title = "T"
datasets = [{ name = "discs" }]
[[models]]
name = "picky"
[[variants]]
label = "wide"
set = { "models.picky.width" = 64 }
[[variants]]
label = "deep"
set = { "models.picky.depth" = 9 }
[protocol]
patch = [32, 64]
epochs = 2
batch = 4
folds = 2
loss = "ce"
one_hot_foreground = true
optimizer = { name = "adam", lr = 1e-3 }
"""
seen_file: Path | None = None
"""Every geometry for which the model was built, a line each."""


class Discs:
    task = Task(channels=("a", "b"), regions={"disc": (1,), "ring": (2,)})


def build_picky(geometry: Geometry, *, width: int = 8, depth: int = 2) -> nn.Module:
    if seen_file is not None:  # models are built in a child process
        with seen_file.open("a") as file:
            file.write(f"{tuple(geometry)}\n")
    assert torch.get_default_device().type == "meta", "no memory is spent on weights"
    if depth > 5:
        raise IncompatibleError(f"picky: depth is {depth}, expected at most 5; choose another")
    return nn.Conv2d(geometry.in_channels, width, 1)


def registry(build: Any = build_picky) -> Registry:
    origin = Origin(entry_point="made_up", module="made_up", distribution="made-up", version="1.0")
    download = Download(licence="CC0", page="https://example.org")
    dataset = DatasetPlugin(
        name="discs", open=lambda _: Discs(), source="none", download=download, phantom=lambda _: None
    )
    model = ModelPlugin(name="picky", build=build, source="none", ndims=frozenset({2}))
    return Registry(
        datasets={"discs": Installed(dataset, origin)}, models={"picky": Installed(model, origin)}, broken=()
    )


def read(tmp_path: Path, plugins: Registry, text: str = FILE) -> Benchmark:
    path = tmp_path / "b.toml"
    path.write_text(text)
    return read_benchmark(path, check=plugins.check)


def test_a_geometry_that_a_model_refuses_is_reported_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = registry()
    benchmark = read(tmp_path, plugins)
    log = tmp_path / "seen.txt"
    monkeypatch.setattr("test_checks.seen_file", log)
    with pytest.raises(SpecError) as caught:
        check_models(benchmark, plan_runs(benchmark, plugins), plugins)
    (problem,) = caught.value.problems
    assert problem.endswith(
        "dataset 'discs', variant 'deep': picky: depth is 9, expected at most 5; choose another"
    )
    # one foreground channel more, background before the two classes; once for each variant, not for each fold
    assert log.read_text().splitlines() == ["(3, 3, (32, 64))"] * 2


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda: os._exit(0), "ends the process with exit code 0"),
        (lambda: os._exit(3), "ends the process with exit code 3"),
        (lambda: sys.exit(0), "ends the process with exit code 0"),
        (lambda: sys.exit(4), "ends the process with exit code 4"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "ends the process by signal 9 (SIGKILL)"),
    ],
)
def test_a_model_that_ends_the_process_is_named_and_the_others_are_checked(
    tmp_path: Path, end: Callable[[], None], reason: str
) -> None:
    def build(geometry: Geometry, *, width: int = 8, depth: int = 2) -> nn.Module:
        if depth > 5:
            end()
        return nn.Conv2d(geometry.in_channels, width, 1)

    plugins = registry(build)
    benchmark = read(tmp_path, plugins)
    runs = plan_runs(benchmark, plugins)
    exits = check_models(benchmark, runs, plugins)
    assert set(exits) == {run.key for run in runs if run.variant == "deep"}
    assert {*exits.values()} == {f"model 'picky': building it {reason}; correct or uninstall its plugin"}


def test_functions_after_one_that_ends_the_process_are_called_in_another() -> None:
    functions = [os.getpid, lambda: os._exit(3), lambda: os._exit(4), os.getpid, os.getpid]
    first, *ends, second, third = call_each_in_child(functions)
    assert [str(end) for end in ends] == ["ends the process with exit code 3", "ends the process with exit code 4"]
    assert second == third
    assert len({os.getpid(), first, second}) == 3


def test_missing_weights_fail_the_run_and_not_the_check(tmp_path: Path) -> None:
    def build(geometry: Geometry, *, width: int = 8, depth: int = 2) -> nn.Module:
        raise NotImplementedError("no kernel for meta tensors")

    plugins = registry(build)
    benchmark = read(tmp_path, plugins)
    check_models(benchmark, plan_runs(benchmark, plugins), plugins)
    assert find_refusals(plugins.model("picky"), Geometry(1, 1, (32, 32)), {}) is None


def build_pooled(geometry: Geometry, *, width: int = 8, depth: int = 2) -> nn.Module:
    """Batch normalisation of the mean of the image, as in the pooling of DeepLabV3."""
    return nn.Sequential(
        nn.Conv2d(geometry.in_channels, width, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.BatchNorm2d(width),
        nn.Conv2d(width, geometry.out_channels, 1),
        nn.Upsample(geometry.patch),
    )


def test_batch_normalisation_of_single_pixels_is_refused_for_batches_of_one(tmp_path: Path) -> None:
    plugins = registry(build_pooled)
    benchmark = read(tmp_path, plugins, FILE.replace("batch = 4", "batch = 1"))
    with pytest.raises(SpecError) as caught:
        check_models(benchmark, plan_runs(benchmark, plugins), plugins)
    assert caught.value.problems[0].endswith(
        "model 'picky' normalises features of one pixel over the batch, which takes two images or more, but"
        " protocol.batch is 1; raise protocol.batch"
    )
    parts = read(tmp_path, plugins, FILE.replace("batch = 4", "batch = 4\nworld_size = 4"))
    with pytest.raises(SpecError, match=r"protocol\.batch 4 gives each of 4 processes one"):
        check_models(parts, plan_runs(parts, plugins), plugins)
    enough = read(tmp_path, plugins, FILE.replace("batch = 4", "batch = 2"))
    check_models(enough, plan_runs(enough, plugins), plugins)


def test_other_networks_may_have_batches_of_one(tmp_path: Path) -> None:
    plugins = registry()
    text = FILE.replace("batch = 4", "batch = 1").replace('"models.picky.depth" = 9', '"models.picky.depth" = 3')
    benchmark = read(tmp_path, plugins, text)
    check_models(benchmark, plan_runs(benchmark, plugins), plugins)


def test_a_step_that_does_not_fit_the_patch_is_reported_with_its_line(tmp_path: Path) -> None:
    text = FILE.replace('loss = "ce"', 'loss = "ce"\naugment = [{ name = "rot90" }]')
    with pytest.raises(SpecError, match=r"b\.toml:\d+: protocol\.augment: augment: rot90 needs a square patch"):
        check_steps(read(tmp_path, registry(), text))
