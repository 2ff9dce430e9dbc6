"""Progress of a whole plan: bars with an estimate on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchbench.launch import Outcome
from benchbench.plan.run import RunKey
from benchbench.results.record import Record
from benchbench.run.assignment import Assignment
from benchbench.run.assignment import Progress as RunProgress


@contextlib.contextmanager
def screen(*, terminal: bool) -> Iterator[Bars | Lines]:
    """An observer that shows what it hears."""
    if not terminal:
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
    """When the plan will be over, from the epochs measured so far."""

    def __init__(self) -> None:
        self._epochs: dict[RunKey, float] = {}
        self._total = 0.0
        self._began = time.monotonic()

    def start(self, assignments: Sequence[Assignment]) -> None:
        self._began = time.monotonic()
        self._total = float(sum(_epochs(each) for each in assignments))
        self._epochs = dict.fromkeys((each.key for each in assignments), 0.0)

    def advance(self, key: RunKey, epochs: float) -> None:
        self._epochs[key] = epochs

    def finish(self, key: RunKey, of: float) -> None:
        """A run may end before its last epoch."""
        self._epochs[key] = of

    def __str__(self) -> str:
        share = sum(self._epochs.values()) / self._total if self._total else 1.0
        if share <= 0:
            return "about ? left"
        left = (time.monotonic() - self._began) * (1 - share) / share
        return f"about {timedelta(seconds=round(left))} left"


class Lines:
    """A line for every epoch and every end, without control codes: for log files."""

    def __init__(self) -> None:
        self._estimate = Estimate()
        self._of: dict[RunKey, int] = {}

    def preparing(self, dataset: str, cases: int) -> None:
        click.echo(f"{dataset}: preparing {cases} cases")

    def prepared(self) -> None:
        pass

    def starting(self, assignments: Sequence[Assignment], *, done: int) -> None:
        self._estimate.start(assignments)
        self._of = {each.key: _epochs(each) for each in assignments}
        click.echo(f"{len(assignments)} runs to do, {done} done already")

    def heard(self, key: RunKey, outcome: Outcome) -> None:
        if isinstance(outcome, RunProgress):
            self._estimate.advance(key, outcome.epochs)
            if outcome.note:
                click.echo(
                    f"{key}: epoch {round(outcome.epochs)} of {outcome.of}, {outcome.note}, {self._estimate}"
                )
            return
        self._estimate.finish(key, self._of[key])
        click.echo(f"{key}: {_ending(outcome)}")


class Bars:
    """A bar for the plan and one for each run under way."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._estimate = Estimate()
        self._plan: TaskID | None = None
        self._runs: dict[RunKey, TaskID] = {}
        self._of: dict[RunKey, int] = {}

    def preparing(self, dataset: str, cases: int) -> None:
        self._plan = self._progress.add_task(f"{dataset}: cases", total=cases, note="")

    def prepared(self) -> None:
        if self._plan is not None:
            self._progress.advance(self._plan)

    def starting(self, assignments: Sequence[Assignment], *, done: int) -> None:
        self._estimate.start(assignments)
        self._of = {each.key: _epochs(each) for each in assignments}
        self._plan = self._progress.add_task("runs", total=len(assignments) + done, completed=done, note="")

    def heard(self, key: RunKey, outcome: Outcome) -> None:
        assert self._plan is not None, "starting comes first"
        if isinstance(outcome, RunProgress):
            if key not in self._runs:
                self._runs[key] = self._progress.add_task(str(key), total=outcome.of, note="")
            self._estimate.advance(key, outcome.epochs)
            self._progress.update(self._runs[key], completed=round(outcome.epochs, 1))
            if outcome.note:
                self._progress.update(self._runs[key], note=outcome.note)
        else:
            self._estimate.finish(key, self._of[key])
            self._progress.console.print(f"{key}: {_ending(outcome)}", highlight=False, markup=False)
            if key in self._runs:
                self._progress.remove_task(self._runs.pop(key))
            self._progress.advance(self._plan)
        self._progress.update(self._plan, note=str(self._estimate))


def _ending(outcome: Record | Exception) -> str:
    if isinstance(outcome, Exception):
        return f"not begun: {outcome}"
    reason = f": {outcome.reason}" if outcome.reason else ""
    trained = f" after {outcome.epochs} epochs" if outcome.epochs else ""
    return f"{outcome.status}{trained}, {outcome.seconds:.1f} s{reason}"


def _epochs(assignment: Assignment) -> int:
    """An ensemble trains nothing."""
    return 0 if assignment.members else assignment.protocol.epochs
