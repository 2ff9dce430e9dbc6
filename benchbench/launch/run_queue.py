"""The queue of runs that several threads take from."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from benchbench.launch.attempts import REPEATED_ALONE
from benchbench.launch.machine import Slot
from benchbench.launch.packing import EVERY_SLOT, Sharing
from benchbench.plan.run import RunKey
from benchbench.run.assignment import Assignment


class Queue(Protocol):
    """Gives assignments to several threads."""

    def take(self, slot: Slot = ()) -> Assignment | None:
        """Return the next assignment that can start on the devices of a slot, after waiting for one.

        None when there is none any more.
        """

    def finish(self, assignment: Assignment) -> None:
        """Report that an assignment has ended, successfully or not."""

    def repeat_alone(self, assignment: Assignment) -> bool:
        """Take back an active assignment that ran out of memory; False if it is not repeated here."""

    def repeat_stopped(self, assignment: Assignment) -> bool:
        """Take back an active assignment whose worker a signal stopped; False if it is not repeated here."""

    def clear(self) -> None:
        """Give no further assignments."""


class RunQueue:
    """Gives assignments in their order.

    An ensemble follows when none of its members is queued or active, and a run when no earlier one with the same
    digest is, whose results it then shares. A run that ran out of memory while others were active is given once
    more when none is, and no other until it has ended.
    """

    def __init__(self, assignments: Sequence[Assignment], sharing: Sharing = EVERY_SLOT) -> None:
        """Take the assignments; `sharing` decides which of them share a GPU."""
        self._sharing = sharing
        self._queued = list(assignments)
        self._active: dict[RunKey, str] = {}
        """Active run -> its digest."""
        self._shared: set[RunKey] = set()
        """Runs that were active at the same time as another one."""
        self._alone: set[RunKey] = set()
        """Runs that are repeated alone."""
        self._changed = threading.Condition()

    def take(self, slot: Slot = ()) -> Assignment | None:
        """Return the next assignment that can start there, after waiting for one; None when the queue is empty."""
        with self._changed:
            self._changed.wait_for(lambda: not self._queued or self._find_ready(slot) is not None)
            position = self._find_ready(slot)
            if position is None:
                return None
            assignment = self._queued.pop(position)
            self._active[assignment.key] = assignment.digest
            if len(self._active) > 1:
                self._shared.update(self._active)
            started = self._sharing.start(assignment, slot)
            self._changed.notify_all()  # another slot may have waited for this one, which was first
            return started

    def finish(self, assignment: Assignment) -> None:
        """Report that an assignment has ended, successfully or not."""
        with self._changed:
            self._active.pop(assignment.key, None)
            self._sharing.end(assignment.key)
            self._changed.notify_all()

    def repeat_alone(self, assignment: Assignment) -> bool:
        """Queue an active assignment again; False if it was alone, or is repeated already."""
        key = assignment.key
        with self._changed:
            if key not in self._shared or key in self._alone:
                return False
            self._alone.add(key)
            del self._active[key]
            self._sharing.end(key)
            # before the others: ensembles wait for it
            self._queued.insert(0, replace(assignment, retries=(*assignment.retries, REPEATED_ALONE)))
            self._changed.notify_all()
            return True

    def repeat_stopped(self, assignment: Assignment) -> bool:  # noqa: ARG002
        """Return False: a signal to this worker alone is how a user ends one run."""
        return False

    def clear(self) -> None:
        """Remove all queued assignments, so that nothing more starts."""
        with self._changed:
            self._queued.clear()
            self._changed.notify_all()

    def _find_ready(self, slot: Slot) -> int | None:
        """Return the position of the first assignment that waits for no other, if it can start in the slot."""
        position = self._find_first()
        if position is None or not self._sharing.admits(self._queued[position], slot):
            return None
        return position

    def _find_first(self) -> int | None:
        """Return the position of the first assignment that waits for no other."""
        if self._alone & self._active.keys():
            return None
        unfinished = {*self._active, *(assignment.key for assignment in self._queued)}
        digests = set(self._active.values())
        for position, assignment in enumerate(self._queued):
            if assignment.key in self._alone:
                return None if self._active else position
            has_members = unfinished.isdisjoint(member.key for member in assignment.members)
            if has_members and assignment.digest not in digests:
                return position
            digests.add(assignment.digest)
        return None
