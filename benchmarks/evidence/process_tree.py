"""The processes that a command has started, read from /proc."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_END_SECONDS = 120.0
_PAUSE_SECONDS = 0.05


class Descendant(NamedTuple):
    """A process that another one has started, itself or through others."""

    process: int
    depth: int
    """1 for a child, 2 for a child of a child, and so on."""
    started: str
    """Start in clock ticks, which tells the process from a later one with its number."""

    @property
    def words(self) -> list[str]:
        """The command line; an empty list after the process has ended."""
        return command_line(self.process)

    @property
    def is_alive(self) -> bool:
        """True until the process has ended; a zombie has ended."""
        fields = _fields(self.process)
        return fields is not None and fields.started == self.started and fields.state not in {"Z", "X"}


class _Fields(NamedTuple):
    state: str
    parent: int
    started: str


def descendants(process: int) -> list[Descendant]:
    """Return the living processes below a process, the nearest ones first."""
    children: dict[int, list[tuple[int, str]]] = {}
    for number in process_numbers():
        fields = _fields(number)
        if fields is not None and fields.state not in {"Z", "X"}:
            children.setdefault(fields.parent, []).append((number, fields.started))
    below: list[Descendant] = []
    level, depth = [process], 1
    while level:
        started = [child for parent in level for child in children.get(parent, [])]
        below += [Descendant(number, depth, start) for number, start in started]
        level, depth = [number for number, _ in started], depth + 1
    return below


def process_numbers() -> list[int]:
    """Return the numbers of all processes."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def command_line(process: int) -> list[str]:
    """Return the words of the command line of a process; an empty list after it has ended."""
    try:
        content = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return []
    return content.decode(errors="replace").rstrip("\0").split("\0")


def wait_for_end(processes: Sequence[Descendant]) -> list[Descendant]:
    """Wait until the processes have ended, at most two minutes; return those that still run."""
    end = time.monotonic() + _END_SECONDS
    while (alive := [process for process in processes if process.is_alive]) and time.monotonic() < end:
        time.sleep(_PAUSE_SECONDS)
    return alive


def _fields(process: int) -> _Fields | None:
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # a name may have spaces and brackets
    return _Fields(state=fields[0], parent=int(fields[1]), started=fields[19])
