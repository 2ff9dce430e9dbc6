"""The vocabulary of launcher plugins: what a launcher starts, and how it describes itself.

A launcher starts workers on one or many machines, usually through a scheduler. It does not choose runs: workers
claim them from the results folder, so that any number of workers can start and end at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PROCESS = "process"
"""Name of the launcher that is no plugin: worker processes of this machine."""


@dataclass(frozen=True, kw_only=True)
class WorkOrder:
    """Planned runs, and the command of a worker that carries them out."""

    folder: Path
    """Absolute path of the results folder, which has the plan. All machines see it under this path."""
    words: tuple[str, ...]
    """Command of a worker, `benchbench work` with its options; further options may be appended.

    Workers share the runs, one worker can carry out all of them, and each ends when none is left. The command of a
    launcher that is not detached prints events for `print_line`.
    """
    runs: int
    """Number of runs that are not done."""
    processes: int
    """Number of processes of a run, all on one machine. With GPUs, each process has a GPU of its own."""
    device: Literal["auto", "cpu"]
    """auto: workers use the GPUs of their machine, if it has any; cpu: they use none."""
    runs_per_device: int
    """Number of runs that share a GPU; 1 where each worker decides it for the GPUs that it gets."""
    seconds: float | None
    """Longest time that a finished run of the same models took; None if none is finished."""
    memory_bytes: int | None
    """Most memory of the machine that such a run used; None if it is unknown."""
    takeover_seconds: float
    """Time after which a run of a lost worker is given to another. A worker with `--wait` should wait longer."""
    print_line: Callable[[str], None]
    """Takes a line that the user should see, or, unless the launcher is detached, a line that a worker printed."""


@dataclass(frozen=True, kw_only=True)
class LauncherPlugin:
    """A way to start workers, for `benchbench run --launch NAME`."""

    name: str
    """Name on the command line; not "process", which is the default."""
    launch: Callable[..., None]
    """launch(order, **options) starts workers that carry out a `WorkOrder`.

    Its keyword-only parameters are the options of the file in `--launch NAME:FILE`; their annotations are checked.
    """
    source: str
    """Package or page of the scheduler."""
    is_detached: bool
    """True if `launch` returns when the workers are submitted, False if it returns when they have ended."""
    needs: tuple[str, ...] = ()
    """Modules that `launch` imports; if one is not installed, the plugin is listed as unavailable."""
    extra: str = ""
    """The extra of the plugin's distribution that installs the modules in `needs`."""
