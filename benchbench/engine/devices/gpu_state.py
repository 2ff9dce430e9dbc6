"""The state of GPUs by their driver (NVML), where nvidia-ml-py is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from benchbench.engine.devices.remarks import driver_version


def describe_gpu(device: str) -> list[str]:
    """Return driver, clock and slices of a GPU in words, as far as they are known."""
    words = []
    if driver := driver_version():
        words.append(f"driver {driver}")
    try:
        import pynvml  # noqa: PLC0415 optional
    except ImportError:
        return words
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        words += _describe(pynvml, open_handle(pynvml, device))
    return words


def open_handle(pynvml: Any, device: str) -> Any:
    """Return NVML's handle of a GPU, by a name that does not depend on CUDA_VISIBLE_DEVICES.

    Raises:
        pynvml.NVMLError: the driver does not know it; a slice of a GPU is not known by this name.
    """
    return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(torch.device(device)).uuid}")


def _describe(pynvml: Any, handle: Any) -> Iterator[str]:
    now = pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM)
    highest = pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM)
    yield f"{now} of {highest} MHz"
    with contextlib.suppress(pynvml.NVMLError):  # GPUs without slices
        current, _ = pynvml.nvmlDeviceGetMigMode(handle)
        if current:
            yield "MIG on"
    processes = len(pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
    if processes > 1:
        yield f"{processes} processes use it"
