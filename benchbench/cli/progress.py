"""Progress of a whole plan: a live line for each run on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from benchbench.cli.terminal import cell_width, plain, terminal_width, wrap
from benchbench.launch import RunEvent
from benchbench.plan.run import RunKey
from benchbench.results.record import Record
from benchbench.run.assignment import Assignment
from benchbench.run.assignment import Progress as RunProgress
from benchbench.words import count

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_REFRESHES_PER_SECOND = 4
_USUAL_WIDTH = 80


@contextlib.contextmanager
def progress_display(*, is_terminal: bool) -> Iterator[LiveLines | Lines]:
    """Yield an observer that prints what is reported to it."""
    if not is_terminal:
        yield Lines()
        return
    lines = LiveLines()
    with lines.live:
        yield lines


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
    """Prints one line per epoch and per finished run, without control codes, for log files."""

    def __init__(self) -> None:
        self._estimate = Estimate()
        self._done = 0
        self._planned = 0

    def on_preparation_start(self, dataset: str, cases: int) -> None:
        click.echo(f"{dataset}: preparing {count(cases, 'case')}")

    def on_check_start(self, dataset: str, cases: int) -> None:
        click.echo(f"{dataset}: checking {cases} prepared cases")

    def on_case_prepared(self) -> None:
        pass

    def on_remark(self, text: str) -> None:
        click.echo(f"note: {text}")

    def on_runs_start(self, assignments: Sequence[Assignment], *, done: int) -> None:
        self._estimate = Estimate(assignments)
        self._done, self._planned = done, len(assignments) + done
        click.echo(f"{count(len(assignments), 'run')} to do, {done} already done")

    def on_run_event(self, key: RunKey, event: RunEvent) -> None:
        if not isinstance(event, RunProgress):
            self._estimate.finish(key)
            self._done += 1
            click.echo(f"{key}: {_describe_end(event)}")
            return
        self._estimate.advance(key, event.epochs)
        if event.remark:
            click.echo(f"{key}: {event.remark}")
        if event.note:
            epoch = f"epoch {round(event.epochs)} of {event.total}"
            runs = f"{self._done} of {count(self._planned, 'run')} done"
            click.echo(f"{key}: {epoch}, {event.note}, {runs}, {self._estimate}")


class LiveLines:
    """Shows a line for the plan and one for each active run, which change in place."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 terminals only
        from rich.live import Live  # noqa: PLC0415

        self._start = time.monotonic()
        self._estimate = Estimate()
        self._assignments: Sequence[Assignment] = ()
        self._done = 0
        self._planned = 0
        self._preparing = ""
        self._runs: dict[RunKey, RunProgress] = {}
        console = Console(highlight=False, markup=False, emoji=False)
        self.live: Live = Live(
            console=console, get_renderable=self._render, refresh_per_second=_REFRESHES_PER_SECOND
        )

    def on_preparation_start(self, dataset: str, cases: int) -> None:
        self._preparing, self._done, self._planned = f"{dataset}: preparing cases", 0, cases

    def on_check_start(self, dataset: str, cases: int) -> None:
        self._preparing, self._done, self._planned = f"{dataset}: checking prepared cases", 0, cases

    def on_case_prepared(self) -> None:
        self._done += 1

    def on_remark(self, text: str) -> None:
        self._print(f"note: {text}")

    def on_runs_start(self, assignments: Sequence[Assignment], *, done: int) -> None:
        self._estimate = Estimate(assignments)
        self._assignments = assignments
        self._preparing, self._done, self._planned = "", done, len(assignments) + done

    def on_run_event(self, key: RunKey, event: RunEvent) -> None:
        if isinstance(event, RunProgress):
            self._estimate.advance(key, event.epochs)
            note = event.note or self._note_of(key)
            self._runs[key] = RunProgress(event.epochs, event.total, note)
            if event.remark:
                self._print(f"{key}: {event.remark}")
            return
        self._estimate.finish(key)
        self._done += 1
        self._runs.pop(key, None)
        self._print(f"{key}: {_describe_end(event)}")

    def _print(self, text: str) -> None:
        """Print lines above those that change in place."""
        for line in wrap(plain(text), terminal_width()):
            self.live.console.print(line, soft_wrap=True)

    def lines(self, width: int) -> list[str]:
        """Return the lines to show, none of them wider than `width` unless a single word is."""
        runs = list(self._runs.items())
        lines = []
        for key, progress in runs:
            lines += self._run_lines(key, progress, width)
        if not runs:
            lines += wrap("  ".join([*self._count(), f"{self._elapsed()} elapsed"]), width)
        return lines

    def _render(self) -> Text:
        from rich.text import Text  # noqa: PLC0415 as above

        width = terminal_width() or _USUAL_WIDTH
        return Text("\n".join(self.lines(width)), no_wrap=True, overflow="ignore")

    def _run_lines(self, key: RunKey, progress: RunProgress, width: int) -> list[str]:
        """Return the line of a run, with all of its values if they fit, otherwise with those that matter most."""
        epoch = f"epoch {min(int(progress.epochs) + 1, progress.total)}/{progress.total}"
        loss = progress.note.partition(",")[0]
        short_key = self._short(key)
        rest = self._count()
        for parts in ([str(key), epoch, progress.note, *rest], [short_key, epoch, progress.note, *rest]):
            line = plain("  ".join(filter(None, parts)))
            if cell_width(line) <= width:
                return [line]
        return wrap(plain("  ".join(filter(None, [short_key, epoch, loss, *rest]))), width)

    def _count(self) -> list[str]:
        """Return how many runs, or cases that are prepared, are done, and the remaining time."""
        if self._preparing:
            return [f"{self._preparing} {self._done}/{self._planned}"]
        runs = f"{self._done}/{count(self._planned, 'run')}"
        if self._done == self._planned:
            return [runs, "writing tables, figures and page"]
        return [runs, str(self._estimate)]

    def _elapsed(self) -> timedelta:
        return timedelta(seconds=round(time.monotonic() - self._start))

    def _note_of(self, key: RunKey) -> str:
        """Return the scores of the run's last epoch."""
        return self._runs[key].note if key in self._runs else ""

    def _short(self, key: RunKey) -> str:
        """Return the parts of a key in which the runs of the plan differ; at least the model and the fold."""
        keys = [assignment.key for assignment in self._assignments]
        parts = []
        for name in RunKey._fields:
            differs = len({getattr(other, name) for other in keys}) > 1
            if differs or name in {"model", "fold"}:
                value = getattr(key, name)
                parts.append(f"{name}{value}" if name in {"fold", "seed"} else value)
        return "/".join(parts)


def _describe_end(end: Record | Exception) -> str:
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
        planned[assignment.key] = assignment.protocol.epochs if is_trained else 0
        digests.add(assignment.digest)
    return planned
