"""The switches of torch for precision and determinism, which every run sets and records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import torch
from commands import benchbench

from benchbench.cli.run import BenchmarkEnd, Surroundings
from benchbench.engine.devices.arithmetic import read_arithmetic, set_arithmetic
from benchbench.engine.devices.settings import ComputeSettings
from benchbench.report.page.evidence import _repeatability
from benchbench.run.resumable_training import resume_tag

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    yield
    set_arithmetic(CPU, "fp32", deterministic=False)


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="torch has one switch for all before 2.9")
@pytest.mark.parametrize(
    ("device", "precision", "factors"),
    [
        (CUDA, "fp32", "ieee"),
        (CUDA, "bf16", "ieee"),
        (CUDA, "fp16", "ieee"),
        (CUDA, "tf32", "tf32"),
        (CPU, "tf32", "ieee"),
    ],
)
def test_only_tf32_on_a_gpu_rounds_the_factors_of_products(
    device: torch.device, precision: str, factors: str
) -> None:
    torch.backends.cudnn.conv.fp32_precision = "tf32"  # torch's default
    arithmetic = set_arithmetic(device, precision, deterministic=False)
    assert {arithmetic["matmul"], arithmetic["convolution"], arithmetic["rnn"]} == {factors}


def test_a_gpu_measures_algorithms_unless_they_have_to_be_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = set_arithmetic(CUDA, "bf16", deterministic=False)
    assert (fast["deterministic"], fast["cudnn_benchmark"]) == (False, True)
    environment: dict[str, str] = {}
    monkeypatch.setattr("benchbench.engine.devices.arithmetic.os.environ", environment)
    repeatable = set_arithmetic(CUDA, "bf16", deterministic=True)
    assert (repeatable["deterministic"], repeatable["cudnn_benchmark"]) == (True, False)
    assert torch.backends.cudnn.deterministic
    assert environment == {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


def test_a_run_sets_what_an_earlier_run_of_the_process_has_changed() -> None:
    set_arithmetic(CUDA, "tf32", deterministic=True)
    expected = dict.fromkeys(("matmul", "convolution", "rnn"), "ieee")
    expected |= {"deterministic": False, "cudnn_benchmark": False}
    assert set_arithmetic(CPU, "bf16", deterministic=False) == expected == read_arithmetic()


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_the_earlier_switches_of_torch_agree(precision: str) -> None:
    set_arithmetic(CUDA, precision, deterministic=False)
    assert torch.backends.cudnn.allow_tf32 is (precision == "tf32")
    assert torch.backends.cuda.matmul.allow_tf32 is (precision == "tf32")


def test_a_state_of_other_algorithms_is_not_resumed() -> None:
    tags = set()
    for deterministic in (False, True):
        assignment = mock.Mock(device="cuda:0", digest="a", data_digest="b", split_digest="c")
        assignment.protocol.precision = "bf16"
        assignment.settings.deterministic = deterministic
        tags.add(resume_tag(assignment))
    assert len(tags) == 2


@pytest.mark.parametrize(
    ("device", "deterministic", "text"),
    [
        ("cpu", False, "equal seeds give equal bytes on such a processor"),
        ("cuda:0", True, "deterministic algorithms: equal seeds give equal bytes on such a GPU"),
        ("cuda:0", False, "fastest algorithms: equal seeds give equal folds, initial weights and batches, but"),
    ],
)
def test_the_page_says_what_equal_seeds_give(device: str, text: str, *, deterministic: bool) -> None:
    arithmetic = set_arithmetic(torch.device(device), "bf16", deterministic=deterministic)
    record = mock.Mock(provenance={"device": device, "arithmetic": arithmetic})
    assert _repeatability(record).startswith(text)
    assert _repeatability(mock.Mock(provenance={"device": device})) == ""


def test_options_reach_the_workers(benchmark_file: Path, squares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = []

    def record(plan: object, surroundings: Surroundings) -> BenchmarkEnd:
        settings.append(surroundings.machine.settings)
        return BenchmarkEnd(0, "")

    monkeypatch.setattr("benchbench.cli.run._carry_out", record)
    words = ["run", benchmark_file, "--data-root", squares, "--deterministic", "--resume-seconds", 5]
    assert benchbench(*words, cwd=benchmark_file.parent).returncode == 0
    assert settings == [ComputeSettings(deterministic=True, resume_seconds=5.0)]
