"""What is still to be begun, handed out to several threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from benchbench.plan.run import RunKey
from benchbench.run.assignment import Assignment


class Waiting:
    """Assignments in their order, an ensemble only once none of its members is waiting or under way."""

    def __init__(self, assignments: Sequence[Assignment]) -> None:
        self._waiting = list(assignments)
        self._under_way: set[RunKey] = set()
        self._changed = threading.Condition()

    def take(self) -> Assignment | None:
        """The next that can begin, as soon as one can; None when there is nothing more to begin."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting or self._next() is not None)
            at = self._next()
            if at is None:
                return None
            self._under_way.add(self._waiting[at].key)
            return self._waiting.pop(at)

    def end(self, assignment: Assignment) -> None:
        """One that was taken is over, however it ended."""
        with self._changed:
            self._under_way.discard(assignment.key)
            self._changed.notify_all()

    def drop(self) -> None:
        """Nothing more is to begin."""
        with self._changed:
            self._waiting.clear()
            self._changed.notify_all()

    def _next(self) -> int | None:
        awaited = self._under_way | {each.key for each in self._waiting}
        for at, each in enumerate(self._waiting):
            if awaited.isdisjoint(member.key for member in each.members):
                return at
        return None
