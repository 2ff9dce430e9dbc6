"""Times what predicts: whole cases as a run predicts them, and networks on batches of their protocol."""

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
"""Of the passes that count; with those before them up to four times as long."""


class CaseClock:
    """Takes the time of one case after another."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds: list[float] = []

    @contextmanager
    def case(self) -> Iterator[None]:
        """Times what is done inside, on a GPU until it has finished."""
        began = _now(self._device)
        yield
        self._seconds.append(_now(self._device) - began)

    def percentiles(self) -> dict[str, float | None]:
        """Milliseconds of a case, the first one left out where there are others: it warms up.

        The 90th percentile is None of fewer than five.
        """
        timed = [1000 * seconds for seconds in self._seconds[1:] or self._seconds]
        p50 = float(np.median(timed)) if timed else None
        p90 = float(np.percentile(timed, 90)) if len(timed) >= _LEAST_FOR_P90 else None
        return {"ms_per_case_p50": p50, "ms_per_case_p90": p90}


@torch.inference_mode()
def images_per_second(
    networks: Sequence[nn.Module], protocol: Protocol, *, channels: int, device: torch.device
) -> float | None:
    """Slices or patches that all of the networks see in a second, in batches and precision of the protocol.

    Made-up images that are on the device already. None where its memory does not suffice.
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
    """The mean over as many passes in a row, twice as many each time, as take so long together.

    The first pass warms up, and counts only if it takes longer than all the others would.
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
