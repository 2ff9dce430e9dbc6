"""Decides which runs share a GPU, by what the first run of each row needed: that run has a GPU to itself.

So every row has a run whose time is that of the model, and its memory and work are known before others follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from benchbench.engine.cost.gpu_use import SharedGpu
from benchbench.errors import IntegrityError
from benchbench.launch.attempts import REPEATED_ALONE
from benchbench.launch.machine import Machine, Slot, most_per_device
from benchbench.plan.run import RunKey
from benchbench.records.record import Record
from benchbench.run.assignment import Assignment

_MARGIN = 1.1
"""Memory that a run may take, as a multiple of what another run of its row took."""
_LEAST_SHARE = 0.5
"""A run joins others where at least this share of the time that it needs of the GPU is left."""

_Row = tuple[str, str, str]


class Need(NamedTuple):
    """The memory and time of a GPU that a run needs."""

    memory_bytes: float
    busy: float
    """Share of time in which it keeps the GPU busy, while it is alone on it."""


class Sharing(Protocol):
    """Decides when a run may start on the devices of a slot; a queue calls it by one thread at a time."""

    def admits(self, assignment: Assignment, slot: Slot) -> bool:
        """Return True if the run may start there now."""

    def start(self, assignment: Assignment, slot: Slot) -> Assignment:
        """Return the run as it starts there, and note that it does."""

    def end(self, key: RunKey) -> None:
        """Note that a run has ended."""


class EverySlot:
    """Lets a run start in every slot."""

    def admits(self, assignment: Assignment, slot: Slot) -> bool:  # noqa: ARG002
        """Return True."""
        return True

    def start(self, assignment: Assignment, slot: Slot) -> Assignment:  # noqa: ARG002
        """Return the run as it is."""
        return assignment

    def end(self, key: RunKey) -> None:
        """Do nothing."""


EVERY_SLOT = EverySlot()


class Packing:
    """Fills GPUs with as many runs as their memory and their time suffice for.

    The needs of a row are read from the record of a run that had a GPU of the same name to itself, in this command
    or an earlier one. A run without such a record waits for an idle GPU, and nothing joins it there. Runs that
    want an idle GPU get it in their turn: none of the runs behind them starts before.
    """

    def __init__(self, gpus: Sequence[SharedGpu], assignments: Sequence[Assignment], *, most: int) -> None:
        """Take the GPUs with their free memory; `assignments` are all runs of the plan, the finished ones too."""
        self._gpus = {gpu.device: gpu for gpu in gpus}
        self._most = most
        self._rows: dict[_Row, list[Assignment]] = {}
        for assignment in assignments:
            self._rows.setdefault(_row_of(assignment.key), []).append(assignment)
        self._active: dict[RunKey, tuple[str, Need | None]] = {}
        self._needs: dict[tuple[_Row, str], Need] = {}

    def admits(self, assignment: Assignment, slot: Slot) -> bool:
        """Return True if the GPU is idle, or if the run fits next to the active ones."""
        device = slot[0]
        active = [need for where, need in self._active.values() if where == device]
        if not active:
            return True
        need = self._need_of(assignment, device)
        return need is not None and _fits(need, active, memory_bytes=self._gpus[device].free_bytes)

    def start(self, assignment: Assignment, slot: Slot) -> Assignment:
        """Return the run with the number of runs that may share the GPU, and its memory there."""
        device = slot[0]
        need = None
        if REPEATED_ALONE not in assignment.retries:
            need = self._need_of(assignment, device)
        self._active[assignment.key] = (device, need)
        if need is None:
            return replace(assignment, runs_per_device=1, gpu_bytes=None)
        return replace(assignment, runs_per_device=self._most, gpu_bytes=int(need.memory_bytes))

    def end(self, key: RunKey) -> None:
        """Free the memory and the time of a run."""
        self._active.pop(key, None)

    def _need_of(self, assignment: Assignment, device: str) -> Need | None:
        """Return the need of the runs of a row on a GPU; None if none was measured, and on a CPU."""
        if device not in self._gpus:
            return None
        row, name = _row_of(assignment.key), self._gpus[device].name
        if (row, name) not in self._needs:
            for other in self._rows.get(row, ()):
                need = _measured_need(other, name)
                if need is not None:
                    self._needs[row, name] = need
                    break
        return self._needs.get((row, name))


def sharing_of(machine: Machine, assignments: Sequence[Assignment], *, processes: int) -> Sharing:
    """Return how the runs of a plan share the GPUs of a machine; `assignments` has the finished ones too."""
    most = most_per_device(machine, processes)
    if machine.per_device != "auto" or machine.jobs == 0 or most == 1:
        return EVERY_SLOT
    return Packing(machine.shared_gpus, assignments, most=most)


def _row_of(key: RunKey) -> _Row:
    return (key.dataset, key.model, key.variant)


def _measured_need(assignment: Assignment, gpu: str) -> Need | None:
    """Return what a run that has ended needed; None unless it had a GPU of this name to itself."""
    try:
        record = assignment.folder.read_record()
    except IntegrityError:  # of a run that is not carried out now
        return None
    if record is None or record.digest != assignment.digest or not _was_alone(record, gpu):
        return None
    return Need(_MARGIN * record.cost["gpu_memory_bytes"], record.cost["gpu_busy"])


def _was_alone(record: Record, gpu: str) -> bool:
    is_measured = "gpu_busy" in record.cost and record.cost.get("runs_per_device") == 1
    return is_measured and record.provenance.get("name") == gpu


def _fits(need: Need, active: Sequence[Need | None], *, memory_bytes: int) -> bool:
    """Return True if a run can join the active ones, all of which must have known needs."""
    known = [other for other in active if other is not None]
    if len(known) < len(active):
        return False
    memory = sum(other.memory_bytes for other in known)
    busy = sum(other.busy for other in known)
    return memory + need.memory_bytes <= memory_bytes and busy + _LEAST_SHARE * need.busy <= 1
