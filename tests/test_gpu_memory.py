"""Training cases in GPU memory: how much they take, and what happens when the memory is not enough."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from carry import carry
from handmade_case import keep_slices
from torch import nn

from benchbench.contract import Geometry
from benchbench.engine.batches.sampling import Slices, fits_on
from benchbench.engine.devices.distributed import ALONE
from benchbench.engine.devices.settings import ComputeSettings
from benchbench.engine.training.train import Training
from benchbench.engine.training.trial_step import Trial
from benchbench.run import first_steps, model_run
from benchbench.run.first_steps import ReadySteps, get_steps_ready, resident_share

GPU = torch.device("cuda:0")


def fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let cases stay in "GPU memory" wherever a share of it is allowed; the device of the tests is the CPU."""
    for module in ("sampling", "patches"):
        name = f"benchbench.engine.batches.{module}.fits_on"
        monkeypatch.setattr(name, lambda *given: given[-1] > 0)


@pytest.mark.parametrize(("share", "fits"), [(0.5, True), (0.125, False), (0.0, False)])
def test_cases_stay_in_gpu_memory_if_they_take_less_than_their_share(
    monkeypatch: pytest.MonkeyPatch, share: float, *, fits: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 4000))
    arrays = [torch.zeros(50, dtype=torch.float16), torch.zeros(100, dtype=torch.uint8)]  # 200 bytes
    assert fits_on(arrays, GPU, share) is fits


@pytest.mark.parametrize(
    ("training_bytes", "runs", "share"),
    [
        (200, 1, 0.78),  # (1000 - 1.1 * 200) / 1000
        (200, 4, 0.03),  # (1000 / 4 - 1.1 * 200) / 1000
        (200, 5, 0.0),
        (None, 1, 0.0),  # the steps that should have shown it ran out of memory
    ],
)
def test_cases_take_no_more_memory_than_a_training_leaves(
    monkeypatch: pytest.MonkeyPatch, training_bytes: int | None, runs: int, share: float
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 4000))
    assignment: Any = SimpleNamespace(settings=ComputeSettings(), runs_per_device=runs, gpu_bytes=None)
    steps = ReadySteps(mock.Mock(), 0.0, training_bytes)
    assert resident_share(assignment, steps, GPU) == pytest.approx(share)
    assignment.settings = ComputeSettings(keeps_data_on_gpu=False)
    assert resident_share(assignment, steps, GPU) == 0.0


@pytest.mark.parametrize(
    ("gpu_bytes", "share"),
    [
        (700, 0.48),  # (700 - 1.1 * 200) / 1000
        (2000, 0.78),  # no more than what is free
        (100, 0.0),
    ],
)
def test_the_cases_of_a_packed_run_take_what_its_row_needed(
    monkeypatch: pytest.MonkeyPatch, gpu_bytes: int, share: float
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 4000))
    assignment: Any = SimpleNamespace(settings=ComputeSettings(), runs_per_device=4, gpu_bytes=gpu_bytes)
    assert resident_share(assignment, ReadySteps(mock.Mock(), 0.0, 200), GPU) == pytest.approx(share)


@pytest.mark.parametrize(
    ("keep", "ema", "training_bytes"),
    [
        (1, None, 1000 + 2 * 80),  # a step, the kept weights, and those that may take their place
        (3, 0.9, 1000 + 6 * 80),  # and the average, and the weights that it replaces for a validation
    ],
)
def test_the_memory_of_a_training_is_that_of_a_step_and_of_all_weights_that_are_kept(
    monkeypatch: pytest.MonkeyPatch, keep: int, ema: float | None, training_bytes: int
) -> None:
    model = nn.Linear(4, 4)  # 20 weights
    protocol = SimpleNamespace(keep=keep, ema=ema, world_size=1, batch=2, accumulate=1)
    case = SimpleNamespace(unlabelled_bits=0)
    assignment: Any = SimpleNamespace(settings=ComputeSettings(), protocol=protocol, regions=("a",), train=(case,))
    monkeypatch.setattr(first_steps, "geometry_of", lambda _: Geometry(1, 1, (8, 8)))
    monkeypatch.setattr(first_steps, "try_steps", lambda *_, **__: Trial(1000, 0.0, 0.1, 1.0))
    assert get_steps_ready(assignment, model, GPU, ALONE).memory_bytes == training_bytes

    def fail(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(first_steps, "try_steps", fail)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    assert get_steps_ready(assignment, model, GPU, ALONE).memory_bytes is None


def test_slices_in_gpu_memory_are_those_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(monkeypatch)
    cases = []
    for number in (1, 2):
        image = np.random.default_rng(number).normal(size=(number + 1, 2, 4, 4)).astype(np.float16)
        cases.append(keep_slices(tmp_path / str(number), image, np.full((number + 1, 4, 4), number, np.uint8)))
    slices = Slices(cases, device=torch.device("cpu"))
    images, labels = slices.batch(torch.arange(5))
    assert torch.equal(images, torch.cat([torch.from_numpy(case.image()) for case in cases]).float())
    assert labels[:, 0, 0].tolist() == [1, 1, 2, 2, 2]
    assert slices.resident_bytes == 5 * (2 * 16 * 2 + 16)
    assert Slices(cases, device=torch.device("cpu"), resident_share=0.0).resident_bytes == 0


@pytest.mark.usefixtures("without_report")
def test_a_run_out_of_memory_is_repeated_without_its_cases_on_the_gpu(
    benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = ("protocol.epochs=2",)
    plain, _, _ = carry(benchmark_file, squares, tmp_path / "plain", *sets, only=["fold=0"])
    fit(monkeypatch)
    step = Training._train_batch
    steps = []

    def step_with_little_memory(training: Training, *arguments: Any) -> Any:
        steps.append(training.resident_bytes)
        if len(steps) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return step(training, *arguments)

    monkeypatch.setattr(Training, "_train_batch", step_with_little_memory)
    folder, (record, *_), _ = carry(benchmark_file, squares, tmp_path / "small", *sets, only=["fold=0"])
    assert record is not None
    assert (record.status, record.cost["resident_bytes"]) == ("done", 0)
    assert all(size > 0 for size in steps[:2])
    assert set(steps[2:]) == {0}
    expected = "out of GPU memory; the run was repeated without its training cases on the GPU"
    assert record.retries == (expected,)
    run = Path("runs") / "squares" / "plain" / "default" / "fold0_seed0"
    for name in ("cases.parquet", "best.safetensors"):
        assert (folder.path / run / name).read_bytes() == (plain.path / run / name).read_bytes()


@pytest.mark.usefixtures("without_report")
def test_a_run_that_needs_more_memory_than_there_is_fails_once(
    benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def refuse(*_: Any) -> Any:
        attempts.append(1)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(Training, "_train_batch", refuse)
    _, (record, *_), _ = carry(benchmark_file, squares, tmp_path, "protocol.epochs=1", only=["fold=0"])
    assert record is not None
    assert record.status == "failed"
    assert "CUDA out of memory" in record.reason
    assert len(attempts) == 1, "no case was in GPU memory, so that another attempt would end the same"
    fit(monkeypatch)
    _, (record, *_), _ = carry(benchmark_file, squares, tmp_path, "protocol.epochs=1", only=["fold=0"])
    assert record is not None
    assert record.status == "failed"
    assert len(attempts) == 3


@pytest.mark.usefixtures("without_report")
def test_a_run_out_of_memory_while_it_predicts_is_not_trained_again(
    benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(monkeypatch)
    step, score = Training._train_batch, model_run.score_or_wait
    steps, attempts = [], []

    def count_step(training: Training, *arguments: Any) -> Any:
        steps.append(1)
        return step(training, *arguments)

    def score_at_the_second_attempt(*arguments: Any, **named: Any) -> Any:
        attempts.append(len(steps))
        if len(attempts) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return score(*arguments, **named)

    monkeypatch.setattr(Training, "_train_batch", count_step)
    monkeypatch.setattr(model_run, "score_or_wait", score_at_the_second_attempt)
    _, (record, *_), _ = carry(benchmark_file, squares, tmp_path, "protocol.epochs=2", only=["fold=0"])
    assert record is not None
    assert record.status == "done"
    first, second = attempts
    assert first == second > 0
