"""The energy that GPUs use, from the counter of their driver (NVML); nothing is estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchbench.engine.devices.gpu_state import open_handle

_JOULES_PER_WH = 3600.0


@dataclass(frozen=True)
class EnergyMeter:
    """Reads the energy counters of some GPUs, which count the work of all processes."""

    handles: tuple[Any, ...] = ()
    """NVML's handles of the GPUs; empty where their energy is unknown."""

    def watt_hours(self) -> float | None:
        """Return the energy that the GPUs have used since their driver was loaded; None where it is unknown.

        It is unknown while several processes use a GPU, because its counter adds up their work.
        """
        if not self.handles:
            return None
        import pynvml  # noqa: PLC0415 it is installed where there are handles

        try:
            for handle in self.handles:
                if len(pynvml.nvmlDeviceGetComputeRunningProcesses(handle)) > 1:
                    return None
            millijoules = sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in self.handles)
        except pynvml.NVMLError:  # no such counter, or the GPU is gone
            return None
        return float(millijoules) / 1000 / _JOULES_PER_WH


NO_METER = EnergyMeter()


def open_meter(devices: Sequence[str]) -> EnergyMeter:
    """Return the meter of some GPUs; `NO_METER` with a CPU among them, or where nvidia-ml-py is not installed."""
    if not devices or any(torch.device(device).type != "cuda" for device in devices):
        return NO_METER
    try:
        import pynvml  # noqa: PLC0415 optional
    except ImportError:
        return NO_METER
    try:
        pynvml.nvmlInit()
        handles = [open_handle(pynvml, device) for device in devices]
    except pynvml.NVMLError:  # no library, or a slice of a GPU, which has no counter
        return NO_METER
    return EnergyMeter(tuple(handles))
