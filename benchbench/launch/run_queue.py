"""The queue of runs that several threads take from."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from benchbench.plan.run import RunKey
from benchbench.run.assignment import Assignment


class RunQueue:
    """Gives assignments in their order; an ensemble follows when none of its members is queued or active."""

    def __init__(self, assignments: Sequence[Assignment]) -> None:
        self._queued = list(assignments)
        self._active: set[RunKey] = set()
        self._changed = threading.Condition()

    def take(self) -> Assignment | None:
        """Return the next assignment that can start, after waiting for one; None when the queue is empty."""
        with self._changed:
            self._changed.wait_for(lambda: not self._queued or self._find_ready() is not None)
            position = self._find_ready()
            if position is None:
                return None
            assignment = self._queued.pop(position)
            self._active.add(assignment.key)
            return assignment

    def finish(self, assignment: Assignment) -> None:
        """Report that an assignment has ended, successfully or not."""
        with self._changed:
            self._active.discard(assignment.key)
            self._changed.notify_all()

    def clear(self) -> None:
        """Remove all queued assignments, so that nothing more starts."""
        with self._changed:
            self._queued.clear()
            self._changed.notify_all()

    def _find_ready(self) -> int | None:
        """Return the position of the first assignment that needs no unfinished member."""
        unfinished = self._active | {assignment.key for assignment in self._queued}
        for position, assignment in enumerate(self._queued):
            if unfinished.isdisjoint(member.key for member in assignment.members):
                return position
        return None
