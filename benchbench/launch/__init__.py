"""Where runs are carried out: in this process, or each in a worker process of its own.

A launcher takes assignments and a listener, and returns when every run has ended one way or the other. Each run
writes its own record; a launcher adds one only for a process that died before it could.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from benchbench.plan.run import RunKey
from benchbench.results.record import Record
from benchbench.run.assignment import Assignment, Progress

Outcome = Progress | Record | Exception
"""How far a run is, how it ended, or what kept it from being begun."""
Listener = Callable[[RunKey, Outcome], None]


class Launcher(Protocol):
    """Carries out runs."""

    def __call__(self, assignments: Sequence[Assignment], listen: Listener) -> None: ...
