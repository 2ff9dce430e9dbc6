"""Carries out many runs: in this process, or each in a worker process of its own.

A launcher takes assignments and a listener, and returns when every run has ended or failed. Each run writes its
own record; a launcher writes one only for a process that died before it could.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from benchbench.plan.run import RunKey
from benchbench.records.record import Record
from benchbench.run.assignment import Assignment, Progress

RunEvent = Progress | Record | Exception
"""Progress of a run, the record of its end, or the error that prevented its start."""
Listener = Callable[[RunKey, RunEvent], None]
"""Called with every event of every run."""


class Launcher(Protocol):
    """Carries out runs."""

    def __call__(self, assignments: Sequence[Assignment], listener: Listener) -> None: ...


class Observer(Protocol):
    """Receives the events of a whole plan, to display them."""

    def on_preparation_start(self, dataset: str, cases: int) -> None:
        """Called before the cases of a dataset are read and prepared."""

    def on_check_start(self, dataset: str, cases: int) -> None:
        """Called before prepared cases that were in the cache already are read and compared with their digests."""

    def on_case_prepared(self) -> None:
        """Called after each case that was prepared, or found and checked."""

    def on_remark(self, text: str) -> None:
        """Called with a line about the data that the user should read before training."""

    def on_runs_start(self, assignments: Sequence[Assignment], *, done: int) -> None:
        """Called before the first of these runs starts; `done` other runs are already done."""

    def on_run_event(self, key: RunKey, event: RunEvent) -> None:
        """Called when a run progresses, ends or cannot be started."""
