"""Energy that GPUs use, by the counter of their driver (NVML); nothing is estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

_JOULES_PER_WH = 3600.0


@dataclass(frozen=True)
class EnergyMeter:
    """Reads the counters of some GPUs, which count all that they do, whoever asks for it."""

    handles: tuple[Any, ...] = ()
    """NVML's; none where energy cannot be told."""

    def watt_hours(self) -> float | None:
        """What the GPUs have used since their driver was loaded; None where that cannot be told."""
        if not self.handles:
            return None
        import pynvml  # noqa: PLC0415 there are handles, so it is there

        try:
            millijoules = sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in self.handles)
        except pynvml.NVMLError:  # no such counter, or the GPU is gone
            return None
        return float(millijoules) / 1000 / _JOULES_PER_WH


NO_METER = EnergyMeter()


def open_meter(devices: Sequence[str]) -> EnergyMeter:
    """The meter of some GPUs; one that tells nothing for a CPU, and where nvidia-ml-py is not installed."""
    if not devices or any(torch.device(device).type != "cuda" for device in devices):
        return NO_METER
    try:
        import pynvml  # noqa: PLC0415 optional
    except ImportError:
        return NO_METER
    try:
        pynvml.nvmlInit()
        return EnergyMeter(tuple(pynvml.nvmlDeviceGetHandleByUUID(_uuid(device)) for device in devices))
    except pynvml.NVMLError:  # no library, or a slice of a GPU, which has no counter
        return NO_METER


def _uuid(device: str) -> str:
    """Whatever number CUDA_VISIBLE_DEVICES gives it."""
    return f"GPU-{torch.cuda.get_device_properties(torch.device(device)).uuid}"
