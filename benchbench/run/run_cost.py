"""What a run cost: its training, a case of its predictions, and its network."""

from __future__ import annotations

import operator
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from benchbench.contract import Geometry
from benchbench.engine.cost.network_cost import COUNTER, measure_cost_of
from benchbench.engine.cost.timing import CaseClock, images_per_second
from benchbench.engine.inference.predict import Predictor
from benchbench.run.assignment import Assignment

_SECONDS_PER_HOUR = 3600


def training_cost(assignment: Assignment, spent: Mapping[str, float | None]) -> dict[str, Any]:
    """What training and its inner validation took, `spent` as `Training.spent` has it; GPU-hours on GPUs only.

    Of a GPU that several runs share, each has all hours, and none an energy.
    """
    seconds = spent["train_seconds"] or 0.0
    devices = assignment.protocol.world_size
    is_gpu = torch.device(assignment.device).type == "cuda"
    return {
        "train_seconds": seconds,
        "gpu_hours": devices * seconds / _SECONDS_PER_HOUR if is_gpu else None,
        "energy_wh": spent["energy_wh"] if assignment.runs_per_device == 1 else None,
        "runs_per_device": assignment.runs_per_device,
    }


def count_network(network: nn.Module, wanted: Geometry) -> dict[str, Any]:
    """Multiply-adds of an image in 10^9, None where none could be counted, and what is not in them."""
    try:
        cost = measure_cost_of(network, wanted)
    except Exception as error:  # noqa: BLE001 a run that went well must not fail for what it costs
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
) -> dict[str, Any]:
    """What an image and a case of the test cases take, of all members of an ensemble together.

    `counted` has for each what `count_network` gave, or nothing. A network is counted and timed by itself, one
    checkpoint of it; a case with every window, mirror image and checkpoint, from prepared arrays to masks on its
    own grid.
    """
    networks = [predictor.models[0] for predictor in predictors]
    passes = [sum(map(predictor.passes, assignment.test)) / len(assignment.test) for predictor in predictors]
    gmacs = [each.get("gmacs") for each in counted]
    known = [value for value in gmacs if value is not None]
    is_known = len(known) == len(gmacs)
    device = torch.device(assignment.device)
    return {
        "gmacs": sum(known) if is_known else None,
        "gmacs_per_case": sum(map(operator.mul, known, passes)) if is_known else None,
        "uncounted": list(dict.fromkeys(name for each in counted for name in each.get("uncounted", ()))),
        "counter": COUNTER,
        "runs_per_device": assignment.runs_per_device,
        **clock.percentiles(),
        "images_per_second": images_per_second(networks, assignment.protocol, channels=channels, device=device),
    }
