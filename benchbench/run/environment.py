"""The provenance of a run: code, versions, machine, device, precision and seeds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypedDict

import torch

from benchbench.engine.devices.arithmetic import Arithmetic, read_arithmetic
from benchbench.engine.devices.device import peak_memory_bytes
from benchbench.engine.network.network import effective_precision
from benchbench.records.provenance import code_state, machine, versions
from benchbench.run.assignment import Assignment
from benchbench.run.seeds import derive_seed


class GpuIdentity(TypedDict, total=False):
    """The GPU of a run; empty for a CPU."""

    name: str
    cuda: str | None


class RunProvenance(GpuIdentity):
    """The field `provenance` of a record."""

    code: dict[str, Any]
    versions: dict[str, str]
    machine: dict[str, Any]
    device: str
    world_size: int
    threads: int
    precision: str
    arithmetic: Arithmetic
    peak_memory_bytes: int | None
    seeds: dict[str, int]
    day: str
    """The day in UTC, as YYYY-MM-DD."""


def provenance_of(assignment: Assignment) -> RunProvenance:
    """Return the provenance of a run in this process, with its peak memory so far."""
    device = torch.device(assignment.device)
    seed = assignment.key.seed
    return {
        "code": code_state(),
        "versions": versions(),
        "machine": machine(),
        "device": assignment.device,
        "world_size": assignment.protocol.world_size,
        "threads": assignment.threads,
        "precision": effective_precision(device, assignment.protocol.precision),
        "arithmetic": read_arithmetic(),
        "peak_memory_bytes": peak_memory_bytes(device),
        **_identify_gpu(device),
        "seeds": {"seed": seed, "weights": derive_seed("weights", seed)},
        "day": datetime.now(UTC).date().isoformat(),
    }


def _identify_gpu(device: torch.device) -> GpuIdentity:
    if device.type != "cuda":
        return {}
    return {"name": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
