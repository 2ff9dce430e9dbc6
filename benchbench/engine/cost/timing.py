"""Times whole cases as a run predicts them, and networks on batches of their protocol."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from benchbench.engine.network.network import autocast, forward
from benchbench.spec.protocol import Protocol

PERCENTILES = ("ms_per_case_p50", "ms_per_case_p90", "cpu_ms_per_case_p50")
_LEAST_FOR_P90 = 5
LEAST_SECONDS = {"cpu": 0.1, "cuda": 0.5}
"""Least duration of the passes that count; with those before them it takes up to four times as long."""


class CaseClock:
    """Measures the time of one case after another, by the clock and of the processor."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds: list[float] = []
        self._cpu_seconds: list[float] = []

    @contextmanager
    def case(self) -> Iterator[None]:
        """Time the block; on a GPU until its work is finished."""
        # while a GPU predicts, other threads score the cases before
        cpu_time = time.process_time if self._device.type == "cpu" else time.thread_time
        began, cpu_began = _now(self._device), cpu_time()
        yield
        self._seconds.append(_now(self._device) - began)
        self._cpu_seconds.append(cpu_time() - cpu_began)

    def percentiles(self) -> dict[str, float | None]:
        """Return the milliseconds of a case, without the first of several, which warms up.

        `cpu_ms_per_case_p50` is the time of the processor, summed over its threads; with a GPU it is that of the
        thread that waits for it. Other processes that use the machine hardly change it. The 90th percentile is
        None for fewer than five cases.
        """
        milliseconds = _milliseconds(self._seconds)
        percentiles: dict[str, float | None] = dict.fromkeys(PERCENTILES)
        if milliseconds:
            percentiles["ms_per_case_p50"] = float(np.median(milliseconds))
            percentiles["cpu_ms_per_case_p50"] = float(np.median(_milliseconds(self._cpu_seconds)))
        if len(milliseconds) >= _LEAST_FOR_P90:
            percentiles["ms_per_case_p90"] = float(np.percentile(milliseconds, 90))
        return percentiles


def machine_load() -> float | None:
    """Return the load of the last minute: processes that ran or waited for a core; None where it is unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _milliseconds(seconds: Sequence[float]) -> list[float]:
    return [1000 * value for value in seconds[1:] or seconds]


@torch.inference_mode()
def images_per_second(
    networks: Sequence[nn.Module], protocol: Protocol, *, channels: int, device: torch.device
) -> float | None:
    """Return how many slices or patches all networks together predict in a second.

    Batch size and precision are those of the protocol; the images are random and already on the device. None where
    the memory of the device is not enough.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(protocol.batch, channels, *protocol.patch, generator=generator).to(device)

    def predict() -> None:
        for network in networks:
            with autocast(device, protocol.precision):
                forward(network.eval(), images)

    try:
        return protocol.batch / _seconds_of_pass(predict, device, least=LEAST_SECONDS[device.type])
    except torch.OutOfMemoryError:
        return None


def _seconds_of_pass(run: Callable[[], object], device: torch.device, *, least: float) -> float:
    """Return the mean duration of a pass, over passes that take at least `least` seconds together.

    Their number doubles until they do. The first pass warms up, and counts only where it takes longer than all the
    others would.
    """
    seconds = _seconds_of(run, device, passes=1)
    if seconds > 4 * least:
        return seconds
    passes = 1
    while (seconds := _seconds_of(run, device, passes=passes)) < least:
        passes *= 2
    return seconds / passes


def _seconds_of(run: Callable[[], object], device: torch.device, *, passes: int) -> float:
    began = _now(device)
    for _ in range(passes):
        run()
    return _now(device) - began


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
