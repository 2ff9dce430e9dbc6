"""The use of a GPU is NVML's; these tests read a made-up one of the same functions."""

from __future__ import annotations

import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from benchbench.engine.cost import gpu_use
from benchbench.engine.cost.gpu_use import SharedGpu, read_shared_gpus, watch_gpu


class Nvml(ModuleType):
    """GPU "a" is busy for 40 and 80 % of the time in turns; GPU "slice" does not report it."""

    class NVMLError(Exception): ...

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.samples = 0

    def nvmlInit(self) -> None: ...  # noqa: N802 NVML's own name

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        return uuid

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:  # noqa: N802
        if handle == "GPU-slice":
            raise self.NVMLError("not supported")
        self.samples += 1
        return SimpleNamespace(gpu=40 if self.samples % 2 else 80)

    def nvmlDeviceGetMemoryInfo(self, _handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(used=1000 - self.samples)

    def nvmlDeviceGetComputeRunningProcesses(self, _handle: str) -> list[int]:  # noqa: N802
        return [1] if self.samples % 2 else [1, 2]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    made_up = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", made_up)
    ids = ["a", "slice"]
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=ids[device.index])
    )
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (750, 1000))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device}")
    monkeypatch.setattr(gpu_use, "SAMPLE_SECONDS", 0.001)
    return made_up


def test_a_run_has_the_most_memory_and_the_mean_busy_time_of_its_samples(nvml: Nvml) -> None:
    with watch_gpu("cuda:0") as watch:
        while nvml.samples < 20:
            time.sleep(0.001)
    samples = nvml.samples
    use = watch.use()
    assert use["gpu_memory_bytes"] == 999
    assert use["gpu_busy"] == pytest.approx(0.6, abs=0.02)
    assert use["gpu_share"] == pytest.approx(0.75, abs=0.02)
    time.sleep(0.02)
    assert nvml.samples == samples  # nothing is sampled after the end


@pytest.mark.parametrize("device", ["cuda:1", "cpu"])
def test_the_use_of_a_slice_and_of_a_cpu_is_unknown(nvml: Nvml, device: str) -> None:
    with watch_gpu(device) as watch:
        time.sleep(0.02)
    assert watch.use() == {}
    assert nvml.samples == 0


def test_without_the_library_the_use_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(gpu_use, "SAMPLE_SECONDS", 0.001)
    with watch_gpu("cuda:0") as watch:
        time.sleep(0.01)
    assert watch.use() == {}


def test_an_error_of_the_run_is_raised_and_ends_the_samples(nvml: Nvml) -> None:
    with pytest.raises(ValueError, match="of the run"), watch_gpu("cuda:0"):
        raise ValueError("of the run")
    samples = nvml.samples
    time.sleep(0.01)
    assert nvml.samples == samples


@pytest.mark.usefixtures("nvml")
def test_gpus_that_runs_can_share_have_their_free_memory() -> None:
    assert read_shared_gpus(["cuda:0", "cpu", "cuda:1", "cuda:0"]) == [
        SharedGpu("cuda:0", "card cuda:0", 750, is_measured=True),
        SharedGpu("cuda:1", "card cuda:1", 750, is_measured=False),
    ]
