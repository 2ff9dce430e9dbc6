"""The memory of a GPU and the share of time in which it works, sampled from its driver (NVML) while a run uses it.

NVML is asked, not CUDA: its questions neither wait for the GPU nor disturb the recording of a graph.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple, TypedDict

import torch

from benchbench.engine.devices.gpu_state import open_handle

SAMPLE_SECONDS = 1.0
"""The longest period over which NVML averages."""
_LAST_SECONDS = 5.0  # for the sample under way; a driver that hangs must not stop the run


class SharedGpu(NamedTuple):
    """A GPU that several runs can share."""

    device: str
    name: str
    free_bytes: int
    """Its free memory before any of the runs."""
    is_measured: bool
    """True if its driver reports how busy it is; no runs are packed on others."""


class GpuUse(TypedDict, total=False):
    """The use of a GPU by all processes while a run used it; empty where it is unknown."""

    gpu_memory_bytes: int
    """Most memory in use at one of the samples."""
    gpu_busy: float
    """Mean share of time, from 0 to 1, in which the GPU worked: kernels of different processes take turns."""
    gpu_share: float
    """Mean of 1 / processes that used the GPU: the part of it that a run had."""


class Sample(NamedTuple):
    """The state of a GPU."""

    memory_bytes: int
    busy: float
    """Share of the last second or less in which it worked."""
    processes: int


@dataclass
class GpuWatch:
    """Samples of a GPU; none on a CPU, without nvidia-ml-py, and for a slice of a GPU."""

    samples: list[Sample] = field(default_factory=list)

    def use(self) -> GpuUse:
        """Return the use of the GPU."""
        if not self.samples:
            return {}
        return {
            "gpu_memory_bytes": max(sample.memory_bytes for sample in self.samples),
            "gpu_busy": fmean(sample.busy for sample in self.samples),
            "gpu_share": fmean(1 / max(1, sample.processes) for sample in self.samples),
        }


def read_shared_gpus(devices: Sequence[str]) -> list[SharedGpu]:
    """Return the GPUs among these devices; this starts CUDA in the process."""
    gpus = []
    for device in dict.fromkeys(devices):
        if torch.device(device).type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            is_measured = next(_samples(device), None) is not None
            gpus.append(SharedGpu(device, torch.cuda.get_device_name(device), free, is_measured))
    return gpus


@contextlib.contextmanager
def watch_gpu(device: str) -> Iterator[GpuWatch]:
    """Sample a GPU every second by a thread, until the block ends."""
    watch = GpuWatch()
    stopping = threading.Event()
    thread = threading.Thread(target=_fill, args=(watch, device, stopping), daemon=True)
    if torch.device(device).type == "cuda":
        thread.start()
    try:
        yield watch
    finally:
        stopping.set()
        if thread.is_alive():
            thread.join(_LAST_SECONDS)


def _fill(watch: GpuWatch, device: str, stopping: threading.Event) -> None:
    samples = _samples(device)
    while not stopping.wait(SAMPLE_SECONDS):
        sample = next(samples, None)
        if sample is None:
            return
        watch.samples.append(sample)


def _samples(device: str) -> Iterator[Sample]:
    """Yield a sample whenever it is asked."""
    try:
        import pynvml  # noqa: PLC0415 optional
    except ImportError:
        return
    # no library, a slice of a GPU, whose use is not known, or no working CUDA, which the run itself reports
    with contextlib.suppress(pynvml.NVMLError, RuntimeError):
        pynvml.nvmlInit()
        handle = open_handle(pynvml, device)
        while True:
            percent = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
            used = pynvml.nvmlDeviceGetMemoryInfo(handle).used
            yield Sample(used, percent / 100, len(pynvml.nvmlDeviceGetComputeRunningProcesses(handle)))
