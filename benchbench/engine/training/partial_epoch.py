"""The steps of an epoch that are done, so that an interrupted training resumes inside an epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchbench.engine.cost.energy import EnergyMeter
from benchbench.engine.devices.distributed import Processes


@dataclass
class PartialEpoch:
    """The sums of the steps of an epoch that are done, and the random draws that come next."""

    generator: torch.Generator
    """Draws patches and augmentations; its first draw is the order of the samples."""
    loss: Tensor
    """Sum of the losses of all samples so far, float64, on the device."""
    counts: Tensor
    """tp, fp, fn, tn of all samples so far (K, 4) or (1 + K, 4), on the device."""
    clock: EpochClock
    steps: int = 0
    """Number of optimiser steps that are done."""

    def save(self, processes: Processes) -> dict[str, Any]:
        """Return everything that the next step depends on, but for weights and optimiser.

        All processes of a training have to call this.
        """
        return {
            "steps": self.steps,
            "loss": processes.all_reduce(self.loss),
            "counts": processes.all_reduce(self.counts),
            "spent": self.clock.spent(),
            "generator": self.generator.get_state(),
            "dropout": processes.gather(_dropout_states(self.loss.device)),
        }

    def load(self, state: Mapping[str, Any], processes: Processes) -> None:
        """Continue after the steps of a saved state."""
        self.steps = state["steps"]
        if processes.is_first:  # the sums are of all processes, and will be added up again
            self.loss.copy_(state["loss"])
            self.counts.copy_(state["counts"])
        self.clock.add(state["spent"])
        self.generator.set_state(state["generator"].cpu())
        _restore_dropout_states(state["dropout"][processes.rank], self.loss.device)


class EpochClock:
    """Measures what an epoch costs, over all processes that have trained a part of it."""

    def __init__(self, meter: EnergyMeter) -> None:
        self._meter = meter
        self._began = time.monotonic()
        self._cpu_began = time.process_time()
        self._energy_before = meter.watt_hours()
        self._earlier: Mapping[str, float | None] = {"seconds": 0.0, "cpu_seconds": 0.0, "energy_wh": 0.0}

    def add(self, earlier: Mapping[str, float | None]) -> None:
        """Add what an interrupted process has spent."""
        self._earlier = earlier

    def spent(self) -> dict[str, float | None]:
        """Return seconds, seconds of the processor and watt-hours so far; None where they are unknown."""
        spent = {
            "energy_wh": _difference(self._meter.watt_hours(), self._energy_before),
            "seconds": time.monotonic() - self._began,
            "cpu_seconds": time.process_time() - self._cpu_began,
        }
        return {name: _sum(value, self._earlier[name]) for name, value in spent.items()}


def _dropout_states(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _restore_dropout_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"].cpu())
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)


def _difference(value: float | None, before: float | None) -> float | None:
    if value is None or before is None:
        return None
    return value - before


def _sum(value: float | None, earlier: float | None) -> float | None:
    if value is None or earlier is None:
        return None
    return value + earlier
