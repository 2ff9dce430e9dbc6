"""The GPUs that a process sees: those of its run, whatever their numbers on the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Environment variable by which CUDA hides GPUs; its entries are numbers or UUIDs of GPUs and of their slices."""


class VisibleDevices(NamedTuple):
    """The devices of a run, as its process names them."""

    environment: dict[str, str]
    """Variables of the process; empty for a run on the CPU."""
    devices: tuple[str, ...]
    """Names of the devices within the process, in the order of the given ones."""


def hide_other_gpus(devices: Sequence[str], visible: str | None) -> VisibleDevices:
    """Return how a process sees the GPUs among these devices as cuda:0, cuda:1 and so on, and no others.

    A library that uses the first GPU of its process then uses that of the run. `visible` is the value of
    CUDA_VISIBLE_DEVICES by which this process numbers its GPUs.
    """
    numbers = {name: position for position, name in enumerate(dict.fromkeys(_gpus(devices)))}
    if not numbers:
        return VisibleDevices({}, tuple(devices))
    known = [entry.strip() for entry in visible.split(",")] if visible else []
    entries = []
    for name in numbers:
        number = int(name.removeprefix("cuda:"))
        entries.append(known[number] if number < len(known) else str(number))
    names = {name: f"cuda:{position}" for name, position in numbers.items()}
    return VisibleDevices({VISIBLE: ",".join(entries)}, tuple(names.get(name, name) for name in devices))


def _gpus(devices: Sequence[str]) -> list[str]:
    return [name for name in devices if name.startswith("cuda:")]
