"""The job file: a worker gets from it the same assignments as the process that plans, on any machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from carry import Recorder

from benchbench.launch.job_assignments import Shard, open_jobs
from benchbench.launch.job_data import Roots
from benchbench.launch.machine import Machine
from benchbench.launch.orchestrate import Planned, write_plan
from benchbench.plan.expand import plan_runs
from benchbench.registry.registry import discover
from benchbench.run.assignment import Assignment
from benchbench.spec.benchmark import read_benchmark

BENCHMARK = """
title = "Every kind"
datasets = [{ name = "lgg" }]
models = [{ name = "unet", widths = [4, 8] }, { name = "unet", label = "second", widths = [4, 4] }]

[[ensembles]]
name = "both"

[controls]
shuffled_labels = "second"

[protocol]
patch = [32, 32]
folds = 3
epochs = 1
batch = 8
intensity = "ct"
optimizer = { name = "adam", lr = 1e-2 }
loss = "bce+dice"

[rehearse]
data = { patients = 3, size = 40 }
"""


def plan(folder: Path) -> Planned:
    (folder / "kinds.toml").write_text(BENCHMARK)
    registry = discover(["lgg", "unet"])
    benchmark = read_benchmark(folder / "kinds.toml", check=registry.check, rehearse=True)
    runs = plan_runs(benchmark, registry)
    machine = Machine(results=folder / "results", cache=folder / "cache", data_root=None, devices=("cpu",), jobs=0)
    return write_plan(benchmark, runs, runs, registry=registry, machine=machine, observer=Recorder())


def as_stored(assignment: Assignment) -> Assignment:
    """The assignment with its settings as a record stores them."""
    members = tuple(as_stored(member) for member in assignment.members)
    resolved = json.loads(json.dumps(assignment.resolved))
    params = json.loads(json.dumps(assignment.model_params))
    return replace(assignment, resolved=resolved, model_params=params, threads=1, members=members)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    return plan(tmp_path_factory.mktemp("planned"))


def test_a_worker_gets_the_assignments_of_the_plan(planned: Planned) -> None:
    roots = Roots(cache=planned.folder.path.parents[2] / "cache", data_root=None)
    opened = open_jobs(planned.folder, roots, shard=Shard(), device="cpu")
    expected = [as_stored(assignment) for assignment in planned.assignments]
    assert [as_stored(assignment) for assignment in opened] == expected
    assert len(opened) == 12
    assert all(assignment.metadata for assignment in opened)
    assert all(assignment.statistics.intensities for assignment in opened if not assignment.members)


def test_a_control_is_trained_with_the_labels_of_others_by_a_worker_too(planned: Planned) -> None:
    roots = Roots(cache=planned.folder.path.parents[2] / "cache", data_root=None)
    opened = open_jobs(planned.folder, roots, shard=Shard(), device="cpu")
    controls = [assignment for assignment in opened if assignment.resolved.get("control") == "shuffled_labels"]
    assert [assignment.key.fold for assignment in controls] == [0, 1, 2]
    for assignment in controls:
        assert [type(case).__name__ for case in assignment.train] == ["MovedCase"] * len(assignment.train)
        assert type(assignment.test[0]).__name__ == "PreparedCase"


def test_another_machine_prepares_cases_by_the_values_of_the_training_part(
    planned: Planned, tmp_path: Path
) -> None:
    here = Roots(cache=tmp_path / "other", data_root=None)
    opened = open_jobs(planned.folder, here, shard=Shard(0, 3), device="cpu")
    for assignment in opened:
        (original,) = [other for other in planned.assignments if other.key == assignment.key]
        for case, expected in zip(assignment.test, original.test, strict=True):
            assert case.folder.name == expected.folder.name
            assert (case.folder / "image.npy").read_bytes() == (expected.folder / "image.npy").read_bytes()
