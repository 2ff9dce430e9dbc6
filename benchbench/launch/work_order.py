"""The order for a launcher plugin: the command of a worker, and the measured needs of the planned runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from benchbench.errors import UsageError
from benchbench.launch.machine import Machine
from benchbench.launch.orchestrate import Planned
from benchbench.launchers import WorkOrder
from benchbench.records.claims import expiry_seconds
from benchbench.run.assignment import Assignment


class MeasuredNeeds(NamedTuple):
    """The needs of finished runs; None where nothing was measured."""

    seconds: float | None
    """Longest time of a run."""
    memory_bytes: int | None
    """Most memory of a run on a CPU; on a GPU, the memory of the machine is not measured."""


def launched_device(text: str) -> Literal["auto", "cpu"]:
    """Return the value of `--device` for workers that a launcher starts.

    Raises:
        UsageError: it names GPUs, which the launcher assigns.
    """
    if text == "auto":
        return "auto"
    if text == "cpu":
        return "cpu"
    raise UsageError(f"--device {text}: the launcher assigns GPUs to workers; give auto or cpu")


def order_work(
    planned: Planned,
    machine: Machine,
    *,
    device: Literal["auto", "cpu"],
    is_detached: bool,
    print_line: Callable[[str], None],
) -> WorkOrder:
    """Return the order to carry out the unfinished runs of a plan."""
    folder = planned.folder.path.absolute()
    words = [sys.executable, "-P", "-m", "benchbench", "work", str(folder), "--until-empty"]
    words += ["--cache", str(machine.cache.absolute()), "--device", device]
    if machine.data_root is not None:
        words += ["--data-root", str(machine.data_root.absolute())]
    if machine.per_device != 1:
        words += ["--per-device", str(machine.per_device)]
    if machine.settings.deterministic:
        words.append("--deterministic")
    if machine.settings.compile != "off":
        words += ["--compile", machine.settings.compile]
    for reporter in machine.settings.reporters:
        words += ["--report", reporter]
    words += ["--resume-seconds", f"{machine.settings.resume_seconds:g}"]
    if not is_detached:
        words.append("--json")
    needs = measured_needs(planned.unfinished, planned.assignments)
    return WorkOrder(
        folder=folder,
        words=tuple(words),
        runs=len(planned.unfinished),
        processes=max((assignment.protocol.world_size for assignment in planned.unfinished), default=1),
        device=device,
        runs_per_device=1 if machine.per_device == "auto" else machine.per_device,
        seconds=needs.seconds,
        memory_bytes=needs.memory_bytes,
        takeover_seconds=expiry_seconds(),
        print_line=print_line,
    )


def measured_needs(unfinished: Sequence[Assignment], assignments: Sequence[Assignment]) -> MeasuredNeeds:
    """Return the highest needs of finished runs of the models that are to be carried out."""
    models = {assignment.key.model for assignment in unfinished}
    seconds: list[float] = []
    memory: list[int] = []
    for assignment in assignments:
        record = assignment.folder.read_record()
        if record is None or record.status != "done" or assignment.key.model not in models:
            continue
        seconds.append(record.seconds)
        peak = record.provenance.get("peak_memory_bytes")
        if peak and record.provenance.get("device") == "cpu":
            memory.append(int(peak))
    return MeasuredNeeds(max(seconds, default=None), max(memory, default=None))
