"""Progress of a whole plan: bars with an estimate on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchbench.launch import RunEvent
from benchbench.plan.run import RunKey
from benchbench.results.record import Record
from benchbench.run.assignment import Assignment
from benchbench.run.assignment import Progress as RunProgress


@contextlib.contextmanager
def progress_display(*, is_terminal: bool) -> Iterator[Bars | Lines]:
    """Yield an observer that prints what is reported to it."""
    if not is_terminal:
        yield Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns) as progress:
        yield Bars(progress)


class Estimate:
    """The remaining time of a plan, extrapolated from the epochs done so far."""

    def __init__(self, assignments: Sequence[Assignment] = ()) -> None:
        self._start = time.monotonic()
        self._planned = {assignment.key: _planned_epochs(assignment) for assignment in assignments}
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
    """Prints one line per epoch and per finished run, without control codes, for log files."""

    def __init__(self) -> None:
        self._estimate = Estimate()

    def on_preparation_start(self, dataset: str, cases: int) -> None:
        click.echo(f"{dataset}: preparing {cases} cases")

    def on_case_prepared(self) -> None:
        pass

    def on_runs_start(self, assignments: Sequence[Assignment], *, done: int) -> None:
        self._estimate = Estimate(assignments)
        click.echo(f"{len(assignments)} runs to do, {done} already done")

    def on_run_event(self, key: RunKey, event: RunEvent) -> None:
        if not isinstance(event, RunProgress):
            self._estimate.finish(key)
            click.echo(f"{key}: {_describe_end(event)}")
            return
        self._estimate.advance(key, event.epochs)
        if event.note:
            click.echo(f"{key}: epoch {round(event.epochs)} of {event.total}, {event.note}, {self._estimate}")


class Bars:
    """Shows a bar for the plan and one for each active run."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._estimate = Estimate()
        self._plan: TaskID | None = None
        self._runs: dict[RunKey, TaskID] = {}

    def on_preparation_start(self, dataset: str, cases: int) -> None:
        self._plan = self._progress.add_task(f"{dataset}: cases", total=cases, note="")

    def on_case_prepared(self) -> None:
        if self._plan is not None:
            self._progress.advance(self._plan)

    def on_runs_start(self, assignments: Sequence[Assignment], *, done: int) -> None:
        self._estimate = Estimate(assignments)
        self._plan = self._progress.add_task("runs", total=len(assignments) + done, completed=done, note="")

    def on_run_event(self, key: RunKey, event: RunEvent) -> None:
        assert self._plan is not None, "the runs start before their first event"
        if isinstance(event, RunProgress):
            self._advance(key, event)
        else:
            self._finish(key, event)
            self._progress.advance(self._plan)
        self._progress.update(self._plan, note=str(self._estimate))

    def _advance(self, key: RunKey, progress: RunProgress) -> None:
        if key not in self._runs:
            self._runs[key] = self._progress.add_task(str(key), total=progress.total, note="")
        self._estimate.advance(key, progress.epochs)
        self._progress.update(self._runs[key], completed=round(progress.epochs, 1))
        if progress.note:
            self._progress.update(self._runs[key], note=progress.note)

    def _finish(self, key: RunKey, end: Record | Exception) -> None:
        self._estimate.finish(key)
        self._progress.console.print(f"{key}: {_describe_end(end)}", highlight=False, markup=False)
        if key in self._runs:
            self._progress.remove_task(self._runs.pop(key))


def _describe_end(end: Record | Exception) -> str:
    if isinstance(end, Exception):
        return f"not started: {end}"
    text: str = end.status
    if end.epochs:
        text += f" after {end.epochs} epochs"
    text += f", {end.seconds:.1f} s"
    if end.reason:
        text += f": {end.reason}"
    return text


def _planned_epochs(assignment: Assignment) -> int:
    if assignment.members:  # an ensemble is not trained
        return 0
    return assignment.protocol.epochs
