"""Progress of a whole plan as plain lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from benchbench.launch import RunEvent
from benchbench.plan.run import RunKey
from benchbench.records.record import Record
from benchbench.run.assignment import Assignment
from benchbench.run.assignment import Progress as RunProgress
from benchbench.words import count


class Estimate:
    """The remaining time of a plan, extrapolated from the epochs done so far."""

    def __init__(self, assignments: Sequence[Assignment] = ()) -> None:
        self._start = time.monotonic()
        self._planned = _planned_epochs(assignments)
        self._done: dict[RunKey, float] = dict.fromkeys(self._planned, 0.0)

    def advance(self, key: RunKey, epochs: float) -> None:
        self._done[key] = epochs

    def finish(self, key: RunKey) -> None:
        """Count all planned epochs of a run as done: it may end before the last one."""
        self._done[key] = self._planned[key]

    def __str__(self) -> str:
        total = sum(self._planned.values())
        share = sum(self._done.values()) / total if total else 1.0
        if share <= 0:
            return "about ? left"
        elapsed = time.monotonic() - self._start
        remaining = elapsed * (1 - share) / share
        return f"about {timedelta(seconds=round(remaining))} left"


class Lines:
    """Prints one line per epoch and per finished run, without control codes, for log files and notebooks."""

    def __init__(self, echo: Callable[[str], None]) -> None:
        self._echo = echo
        self._estimate = Estimate()
        self._done = 0
        self._planned = 0

    def on_preparation_start(self, dataset: str, cases: int) -> None:
        self._echo(f"{dataset}: preparing {count(cases, 'case')}")

    def on_check_start(self, dataset: str, cases: int) -> None:
        self._echo(f"{dataset}: checking {cases} prepared cases")

    def on_case_prepared(self) -> None:
        pass

    def on_remark(self, text: str) -> None:
        self._echo(f"note: {text}")

    def on_runs_start(self, assignments: Sequence[Assignment], *, done: int) -> None:
        self._estimate = Estimate(assignments)
        self._done, self._planned = done, len(assignments) + done
        self._echo(f"{count(len(assignments), 'run')} to do, {done} already done")

    def on_run_event(self, key: RunKey, event: RunEvent) -> None:
        if not isinstance(event, RunProgress):
            self._estimate.finish(key)
            self._done += 1
            self._echo(f"{key}: {describe_end(event)}")
            return
        self._estimate.advance(key, event.epochs)
        if event.remark:
            self._echo(f"{key}: {event.remark}")
        if event.note:
            epoch = f"epoch {round(event.epochs)} of {event.total}"
            runs = f"{self._done} of {count(self._planned, 'run')} done"
            self._echo(f"{key}: {epoch}, {event.note}, {runs}, {self._estimate}")


class FewLines(Lines):
    """Prints notes, and the runs that fail."""

    def on_preparation_start(self, dataset: str, cases: int) -> None:
        pass

    def on_check_start(self, dataset: str, cases: int) -> None:
        pass

    def on_runs_start(self, assignments: Sequence[Assignment], *, done: int) -> None:
        pass

    def on_run_event(self, key: RunKey, event: RunEvent) -> None:
        if isinstance(event, RunProgress):
            if event.remark:
                self._echo(f"{key}: {event.remark}")
        elif isinstance(event, Exception) or event.status != "done":
            self._echo(f"{key}: {describe_end(event)}")


def describe_end(end: Record | Exception) -> str:
    if isinstance(end, Exception):
        return f"not started: {end}"
    text: str = end.status
    if end.epochs:
        text += f" after {count(end.epochs, 'epoch')}"
    text += f", {end.seconds:.1f} s"
    if end.trained_as:
        text += f", the results of {end.trained_as}, which has the same settings"
    if end.reason:
        text += f": {end.reason}"
    return text


def _planned_epochs(assignments: Sequence[Assignment]) -> dict[RunKey, int]:
    """Return the epochs of each run; none for an ensemble, or for one that shares the results of an equal run."""
    planned: dict[RunKey, int] = {}
    digests: set[str] = set()
    for assignment in assignments:
        is_own = not assignment.members and assignment.external is None
        is_trained = is_own and assignment.digest not in digests
        planned[assignment.key] = assignment.planned_epochs if is_trained else 0
        digests.add(assignment.digest)
    return planned
