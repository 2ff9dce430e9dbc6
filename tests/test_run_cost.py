"""Tests of the recorded cost of runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from carry import carry
from test_ensembles import record_of
from torch import nn
from toy_benchmark import Finished

from benchbench import Geometry
from benchbench.engine.cost.gpu_use import GpuUse, GpuWatch, Sample
from benchbench.engine.cost.timing import CaseClock
from benchbench.engine.inference.predict import Predictor
from benchbench.run.run_cost import count_network, prediction_cost, training_cost, with_gpu_use
from benchbench.spec.protocol import Protocol

pytestmark = pytest.mark.usefixtures("without_report")

CPU = torch.device("cpu")
PLAIN_MACS = (1 * 4 + 4 * 1) * 9 * 32 * 32
"""Multiply-adds of two 3x3 convolutions, 1 -> 4 -> 1 channels, on 32x32 pixels."""


def test_a_run_and_an_ensemble_record_their_cost(finished_pair: Finished) -> None:
    folder = finished_pair.folder
    plain, other, both = (record_of(folder, name) for name in ("plain", "plain_too", "both"))
    history = pd.read_csv(folder.run(plain.key).path / "history.csv")
    assert plain.cost["train_seconds"] == pytest.approx(history["seconds"].sum())
    assert 0 < plain.cost["train_seconds"] < plain.seconds
    assert plain.cost["gmacs"] == PLAIN_MACS / 1e9
    assert plain.cost["gmacs_per_case"] == pytest.approx(3 * PLAIN_MACS / 1e9)
    assert plain.cost["uncounted"] == []
    assert plain.cost["counter"].startswith("FlopCounterMode of torch ")
    assert (plain.cost["gpu_hours"], plain.cost["energy_wh"]) == (None, None)
    for record in (plain, other, both):
        assert record.cost["ms_per_case_p50"] > 0
        assert record.cost["ms_per_case_p90"] is None
        assert record.cost["images_per_second"] > 0
        assert record.cost["runs_per_device"] == 1
        assert record.provenance["peak_memory_bytes"] > 0
    assert "train_seconds" not in both.cost
    assert both.cost["gmacs"] == pytest.approx(plain.cost["gmacs"] * 7 / 4)
    assert both.cost["gmacs_per_case"] == pytest.approx(3 * both.cost["gmacs"])


def test_a_run_that_diverges_at_once_has_the_cost_of_training_only(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    _, (record, _), _ = carry(benchmark_file, squares, tmp_path, 'models.plain.explode="nan"')
    assert record
    assert record.status == "diverged"
    assert record.cost["train_seconds"] == 0
    assert "gmacs" not in record.cost


def assigned(**changes: Any) -> Any:
    settings = Protocol.model_validate(
        {"patch": (8, 8), "epochs": 1, "batch": 1, "optimizer": {"name": "adam", "lr": 1.0}, "loss": "bce"}
    )
    case = SimpleNamespace(
        frame=SimpleNamespace(box=((0, 5), (0, 8), (0, 8))), placement=object(), space=(5, 8, 8)
    )
    fields = {"protocol": settings, "device": "cpu", "test": (case,), "runs_per_device": 1}
    return SimpleNamespace(**{**fields, **changes})


def test_hours_count_every_gpu_and_energy_only_unshared_ones() -> None:
    spent = {"train_seconds": 1800.0, "energy_wh": 7.0}
    alone = training_cost(assigned(device="cuda:0"), spent)
    assert (alone["gpu_hours"], alone["energy_wh"], alone["train_seconds"]) == (0.5, 7.0, 1800.0)
    pair = SimpleNamespace(world_size=2)
    together = training_cost(assigned(device="cuda:0", protocol=pair, runs_per_device=3), spent)
    assert (together["gpu_hours"], together["energy_wh"], together["runs_per_device"]) == (1.0, None, 3)
    assert training_cost(assigned(), spent)["gpu_hours"] is None


USE: GpuUse = {"gpu_memory_bytes": 99, "gpu_busy": 0.5, "gpu_share": 0.25}


@pytest.mark.parametrize(
    ("cost", "gpu_hours"),
    [
        ({"runs_per_device": 4, "gpu_hours": 8.0}, 2.0),
        ({"runs_per_device": 1, "gpu_hours": 8.0}, 8.0),
        ({"runs_per_device": 4, "gpu_hours": None}, None),
        ({}, None),  # a run that failed
    ],
)
def test_runs_that_share_a_gpu_have_their_parts_of_its_hours(
    cost: dict[str, Any], gpu_hours: float | None
) -> None:
    used = with_gpu_use(cost, USE)
    assert used.get("gpu_hours") == gpu_hours
    assert (used["gpu_busy"], used["gpu_memory_bytes"]) == (0.5, 99)
    assert with_gpu_use(cost, {}) == cost


def test_scoring_a_run_that_was_trained_before_changes_no_use() -> None:
    trained = {
        "runs_per_device": 4,
        "gpu_hours": 2.0,
        "gpu_busy": 0.9,
        "gpu_memory_bytes": 1000,
        "gpu_share": 0.25,
    }
    assert with_gpu_use(trained, USE) == trained


def test_a_record_has_the_use_of_the_gpu_while_the_run_was_carried_out(
    benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[str] = []

    @contextmanager
    def watch_gpu(device: str) -> Iterator[GpuWatch]:
        watched.append(device)
        watch = GpuWatch()
        yield watch
        watch.samples += [Sample(30, 0.5, 1), Sample(70, 0.9, 1)]

    monkeypatch.setattr("benchbench.run.execute.watch_gpu", watch_gpu)
    _, (first, second), _ = carry(benchmark_file, squares, tmp_path)
    for record in (first, second):
        assert record is not None
        assert record.status == "done"
        assert (record.cost["gpu_memory_bytes"], record.cost["gpu_busy"]) == (70, 0.7)
    assert watched == ["cpu", "cpu"]


class Uncountable(nn.Module):
    """Raises an exception on images of zeros, which the counter uses."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.error = error

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not images.any():
            raise self.error
        return images[:, :1] * self.weight


def cost_of(model: nn.Module, **changes: Any) -> dict[str, Any]:
    assignment = assigned(**changes)
    predictor = Predictor([model], assignment.protocol, CPU)
    counted = [count_network(model, Geometry(1, 1, (32, 32)))]
    return prediction_cost(assignment, [predictor], counted, channels=1, clock=CaseClock(CPU))


@pytest.mark.parametrize(
    ("error", "named"), [(TypeError("an array, please"), "TypeError"), (RuntimeError("no"), "RuntimeError")]
)
def test_a_model_that_cannot_be_counted_has_no_gmacs_and_a_reason(error: Exception, named: str) -> None:
    cost = cost_of(Uncountable(error))
    assert (cost["gmacs"], cost["gmacs_per_case"]) == (None, None)
    assert cost["uncounted"] == [f"all: {named}"]
    assert cost["images_per_second"] > 0


def test_uncounted_work_is_recorded_as_unknown_rather_than_zero() -> None:
    model = Uncountable(RuntimeError())
    model.forward = lambda images: images[:, :1] * model.weight  # type: ignore[method-assign]
    cost = cost_of(model)
    assert (cost["gmacs"], cost["gmacs_per_case"]) == (None, None)
    assert cost["uncounted"] == ["the model itself"]


def test_an_ensemble_with_a_member_that_was_not_counted_has_no_gmacs() -> None:
    assignment = assigned()
    members = [Predictor([nn.Conv2d(1, 1, 1)], assignment.protocol, CPU) for _ in range(2)]
    costs: list[dict[str, Any]] = [{"gmacs": 2.0, "uncounted": ["scan"]}, {}]
    cost = prediction_cost(assignment, members, costs, channels=1, clock=CaseClock(CPU))
    assert (cost["gmacs"], cost["uncounted"]) == (None, ["scan"])
    cost = prediction_cost(assignment, members, costs[:1] * 2, channels=1, clock=CaseClock(CPU))
    assert (cost["gmacs"], cost["gmacs_per_case"]) == (4.0, 2 * 2.0 * 5)
