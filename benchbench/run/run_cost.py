"""The cost of a run: training, the prediction of a case, and the network."""

from __future__ import annotations

import operator
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import torch
from torch import nn

from benchbench.contract import Geometry
from benchbench.engine.cost.gpu_use import GpuUse
from benchbench.engine.cost.network_cost import COUNTER, measure_built_model
from benchbench.engine.cost.timing import CaseClock, images_per_second, machine_load
from benchbench.engine.inference.predict import Predictor
from benchbench.run.assignment import Assignment

_SECONDS_PER_HOUR = 3600


class TrainingCost(TypedDict):
    """The cost of training and inner validation."""

    train_seconds: float
    train_cpu_seconds: float | None
    """Time of the processor, summed over the threads of the first process."""
    compile_seconds: float | None
    """Time of compiling the training steps, which is no part of the others; None where they are not compiled."""
    gpu_hours: float | None
    """None on a CPU."""
    energy_wh: float | None
    """Energy of the GPUs; None if it was not measured, or if other runs shared a GPU."""
    runs_per_device: int


class NetworkCost(TypedDict):
    """The multiply-adds of a network for one image."""

    gmacs: float | None
    """In units of 10⁹; None if none could be counted."""
    uncounted: list[str]
    """Modules that compute but are not counted."""


class PredictionCost(TypedDict):
    """The cost of predicting an image and a case, for all members of an ensemble together."""

    gmacs: float | None
    gmacs_per_case: float | None
    uncounted: list[str]
    counter: str
    """Name and version of the counter of multiply-adds."""
    runs_per_device: int
    ms_per_case_p50: float | None
    ms_per_case_p90: float | None
    cpu_ms_per_case_p50: float | None
    """Time of the processor, summed over threads."""
    load: float | None
    """Load of the machine in the minute before the last case was predicted."""
    images_per_second: float | None


def training_cost(assignment: Assignment, spent: Mapping[str, float | None]) -> TrainingCost:
    """Return the cost of training from `Training.spent`.

    The GPU-hours are those of a run that has its GPU alone; runs that share one have none of its energy.
    """
    seconds = spent["train_seconds"] or 0.0
    gpu_hours = None
    if torch.device(assignment.device).type == "cuda":
        gpu_hours = assignment.protocol.world_size * seconds / _SECONDS_PER_HOUR
    return {
        "train_seconds": seconds,
        "train_cpu_seconds": spent.get("train_cpu_seconds"),
        "compile_seconds": spent.get("compile_seconds"),
        "gpu_hours": gpu_hours,
        "energy_wh": spent["energy_wh"] if assignment.runs_per_device == 1 else None,
        "runs_per_device": assignment.runs_per_device,
    }


def with_gpu_use(cost: Mapping[str, Any], use: GpuUse) -> dict[str, Any]:
    """Return the cost of a run with the use of its GPU; a run that shared it has its part of the GPU-hours.

    Without samples, it has all of them. A run that was trained before keeps its use.
    """
    if not use or "gpu_busy" in cost:
        return dict(cost)
    used = {**cost, **use}
    if cost.get("runs_per_device", 1) > 1 and cost.get("gpu_hours") is not None:
        used["gpu_hours"] = use["gpu_share"] * cost["gpu_hours"]
    return used


def count_network(network: nn.Module, built: Geometry) -> NetworkCost:
    """Return the multiply-adds of a network for one image."""
    try:
        cost = measure_built_model(network, built)
    except Exception as error:  # noqa: BLE001 a finished run must not fail because its cost cannot be counted
        traceback.print_exc()
        return {"gmacs": None, "uncounted": [f"all: {type(error).__name__}"]}
    return {"gmacs": cost.macs / 1e9 if cost.macs else None, "uncounted": list(cost.uncounted)}


def prediction_cost(
    assignment: Assignment,
    predictors: Sequence[Predictor],
    counted: Sequence[Mapping[str, Any]],
    *,
    channels: int,
    clock: CaseClock,
) -> PredictionCost:
    """Return the cost of predicting an image and a test case.

    `counted` holds the `NetworkCost` of each predictor, or an empty mapping. A network is counted and timed alone,
    with one checkpoint. A case is timed with every window, mirror image and checkpoint, from prepared arrays to
    masks on its own grid.
    """
    networks = [predictor.models[0] for predictor in predictors]
    gmacs = [cost.get("gmacs") for cost in counted]
    known = [value for value in gmacs if value is not None]
    total = per_case = None
    if len(known) == len(gmacs):
        passes = [_mean_passes(predictor, assignment) for predictor in predictors]
        total = sum(known)
        per_case = sum(map(operator.mul, known, passes))
    uncounted: dict[str, None] = {}
    for cost in counted:
        uncounted.update(dict.fromkeys(cost.get("uncounted", ())))
    percentiles = clock.percentiles()
    load = machine_load()  # before the throughput is measured, which is a load of its own
    device = torch.device(assignment.device)
    return {
        "gmacs": total,
        "gmacs_per_case": per_case,
        "uncounted": list(uncounted),
        "counter": COUNTER,
        "runs_per_device": assignment.runs_per_device,
        "ms_per_case_p50": percentiles["ms_per_case_p50"],
        "ms_per_case_p90": percentiles["ms_per_case_p90"],
        "cpu_ms_per_case_p50": percentiles["cpu_ms_per_case_p50"],
        "load": load,
        "images_per_second": images_per_second(networks, assignment.protocol, channels=channels, device=device),
    }


def _mean_passes(predictor: Predictor, assignment: Assignment) -> float:
    """Return the number of images that pass through the network per test case."""
    return sum(map(predictor.passes, assignment.test)) / len(assignment.test)
