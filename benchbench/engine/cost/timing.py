"""Times whole cases as a run predicts them, and networks on batches of their protocol."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from benchbench.engine.network.network import autocast, forward
from benchbench.spec.protocol import Protocol

_LEAST_FOR_P90 = 5
_LEAST_SECONDS = {"cpu": 0.1, "cuda": 0.5}
"""Least duration of the passes that count; with those before them it takes up to four times as long."""


class CaseClock:
    """Measures the time of one case after another."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds: list[float] = []

    @contextmanager
    def case(self) -> Iterator[None]:
        """Time the block; on a GPU until its work is finished."""
        began = _now(self._device)
        yield
        self._seconds.append(_now(self._device) - began)

    def percentiles(self) -> dict[str, float | None]:
        """Return the milliseconds of a case, without the first of several, which warms up.

        The 90th percentile is None for fewer than five cases.
        """
        milliseconds = [1000 * seconds for seconds in self._seconds[1:] or self._seconds]
        percentiles: dict[str, float | None] = {"ms_per_case_p50": None, "ms_per_case_p90": None}
        if milliseconds:
            percentiles["ms_per_case_p50"] = float(np.median(milliseconds))
        if len(milliseconds) >= _LEAST_FOR_P90:
            percentiles["ms_per_case_p90"] = float(np.percentile(milliseconds, 90))
        return percentiles


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
        return protocol.batch / _seconds_of_pass(predict, device, least=_LEAST_SECONDS[device.type])
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
