"""The counter is NVML's; these read a made-up one of the same functions."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from benchbench.engine.cost.energy import NO_METER, EnergyMeter, open_meter


class Nvml(ModuleType):
    """Two GPUs by their ids, in millijoules; -1 has no counter."""

    class NVMLError(Exception): ...

    def __init__(self, counters: dict[str, int]) -> None:
        super().__init__("pynvml")
        self.counters = counters
        self.begun = 0
        self.processes = {"GPU-b": [1], "GPU-a": [1], "GPU-old": [1]}

    def nvmlInit(self) -> None:  # noqa: N802 NVML's own name
        self.begun += 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid not in self.counters:
            raise self.NVMLError("not found")
        return uuid

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[int]:  # noqa: N802
        return self.processes[handle]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        if self.counters[handle] < 0:
            raise self.NVMLError("not supported")
        return self.counters[handle]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    made_up = Nvml({"GPU-b": 7_200_000, "GPU-a": 3_600_000, "GPU-old": -1})
    monkeypatch.setitem(sys.modules, "pynvml", made_up)
    # as CUDA_VISIBLE_DEVICES may have it, in another order than NVML's
    ids = ["a", "b", "old", "mig"]
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=ids[device.index])
    )
    return made_up


def test_the_counters_of_all_devices_add_up_to_watt_hours(nvml: Nvml) -> None:
    assert open_meter(["cuda:1"]).watt_hours() == 2.0
    meter = open_meter(["cuda:0", "cuda:1"])
    assert meter.watt_hours() == 3.0
    nvml.counters["GPU-a"] += 1_800_000
    assert meter.watt_hours() == 3.5


@pytest.mark.parametrize("devices", [["cuda:2"], ["cuda:3"], ["cuda:0", "cuda:2"], ["cpu"], []])
def test_a_device_without_counter_has_no_energy(nvml: Nvml, devices: list[str]) -> None:
    assert open_meter(devices).watt_hours() is None


def test_a_gpu_that_other_processes_use_has_no_energy_of_a_run(nvml: Nvml) -> None:
    meter = open_meter(["cuda:1"])
    nvml.processes["GPU-b"] = [1, 2]
    assert meter.watt_hours() is None


def test_a_cpu_never_asks_for_the_library(nvml: Nvml) -> None:
    open_meter(["cpu"])
    assert nvml.begun == 0


def test_without_the_library_there_is_no_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert open_meter(["cuda:0"]) == NO_METER == EnergyMeter()
    assert NO_METER.watt_hours() is None
