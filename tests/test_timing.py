from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchbench.engine.cost import timing
from benchbench.engine.cost.timing import CaseClock, images_per_second
from benchbench.spec.protocol import Protocol

CPU = torch.device("cpu")


def protocol(**changes: Any) -> Protocol:
    fields = {"patch": (16, 24), "epochs": 1, "batch": 3, "optimizer": {"name": "adam", "lr": 1.0}, "loss": "bce"}
    return Protocol.model_validate({**fields, **changes})


class Ticks:
    """A clock that is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.seconds)


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticks]:
    with monkeypatch.context() as patch:
        patch.setattr(timing, "LEAST_SECONDS", {"cpu": 0.1})
        yield Ticks(patch)


class Slow(nn.Module):
    """Takes some seconds an image, and more the first time."""

    def __init__(self, ticks: Ticks, *, seconds: float, warming: float = 0.0) -> None:
        super().__init__()
        self.ticks, self.seconds, self.warming = ticks, seconds, warming
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        self.ticks.seconds += self.seconds * len(images) + (0.0 if self.shapes else self.warming)
        self.shapes.append(tuple(images.shape))
        return images[:, :1]


@pytest.mark.parametrize(
    ("seconds", "p50", "p90"),
    [
        ([], None, None),
        ([0.3], 300.0, None),
        ([9.0, 0.3], 300.0, None),
        ([9.0, 0.1, 0.4, 0.2, 0.3], 250.0, None),
        ([9.0, 0.1, 0.5, 0.2, 0.4, 0.3], 300.0, 460.0),
    ],
)
def test_the_first_case_warms_up_and_few_cases_have_no_90th_percentile(
    ticks: Ticks, seconds: list[float], p50: float | None, p90: float | None
) -> None:
    clock = CaseClock(CPU)
    for duration in seconds:
        ticks.seconds += 1000  # between cases
        with clock.case():
            ticks.seconds += duration
    percentiles = clock.percentiles()
    assert percentiles["ms_per_case_p50"] == (None if p50 is None else pytest.approx(p50))
    assert percentiles["ms_per_case_p90"] == (None if p90 is None else pytest.approx(p90))


def test_the_time_of_the_processor_is_measured_next_to_the_clock(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = iter([0.0, 9.0, 10.0, 10.2, 20.0, 20.4])
    monkeypatch.setattr(time, "process_time", lambda: next(cpu))
    clock = CaseClock(CPU)
    for duration in (9.0, 3.0, 5.0):  # another process has the core most of the time
        with clock.case():
            ticks.seconds += duration
    percentiles = clock.percentiles()
    assert percentiles["ms_per_case_p50"] == 4000.0
    assert percentiles["cpu_ms_per_case_p50"] == pytest.approx(300.0)


def test_throughput_uses_batches_of_the_protocol_without_the_first(ticks: Ticks) -> None:
    network = Slow(ticks, seconds=0.01, warming=0.2)
    assert images_per_second([network], protocol(), channels=4, device=CPU) == pytest.approx(100)
    assert set(network.shapes) == {(3, 4, 32, 32)}  # as the network pads them
    assert ticks.seconds < 0.2 + 0.4


def test_throughput_of_several_networks_counts_images_that_all_have_predicted(ticks: Ticks) -> None:
    networks = [Slow(ticks, seconds=0.01), Slow(ticks, seconds=0.03)]
    assert images_per_second(networks, protocol(), channels=1, device=CPU) == pytest.approx(25)


def test_a_slow_network_runs_once(ticks: Ticks) -> None:
    network = Slow(ticks, seconds=2.0)
    assert images_per_second([network], protocol(ndim=3, patch=(4, 4, 4)), channels=1, device=CPU) == 0.5
    assert network.shapes == [(3, 1, 4, 4, 4)]


def test_a_batch_too_large_for_the_memory_has_no_throughput(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(timing, "forward", refuse)
    assert images_per_second([nn.Identity()], protocol(), channels=1, device=CPU) is None


def test_throughput_does_not_change_the_random_numbers_of_its_caller() -> None:
    network = nn.Conv2d(1, 1, 1)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert (images_per_second([network], protocol(), channels=1, device=CPU) or 0) > 0
    assert torch.equal(torch.rand(1), expected)
