"""Progress of a whole plan: a live line for each run on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from benchbench.cli.terminal import cell_width, plain, terminal_width, wrap
from benchbench.launch import RunEvent
from benchbench.launch.progress_lines import Estimate, FewLines, Lines, describe_end
from benchbench.plan.run import RunKey
from benchbench.run.assignment import Assignment
from benchbench.run.assignment import Progress as RunProgress
from benchbench.words import count

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

Verbosity = Literal["quiet", "normal", "verbose"]
_REFRESHES_PER_SECOND = 4
_USUAL_WIDTH = 80


@contextlib.contextmanager
def progress_display(
    *, is_terminal: bool, echo: Callable[[str], None], verbosity: Verbosity = "normal"
) -> Iterator[LiveLines | Lines]:
    """Yield an observer that prints what is reported to it; `echo` prints a line if nothing changes in place."""
    if verbosity == "quiet":
        yield FewLines(echo)
        return
    if verbosity == "verbose" or not is_terminal:
        yield Lines(echo)
        return
    lines = LiveLines()
    with lines.live:
        yield lines


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
        self._print(f"{key}: {describe_end(event)}")

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
