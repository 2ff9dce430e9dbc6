"""The state of a run that is under way, as `resume.pt`: a line with its tag and digest, then the state."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from benchbench.records.run_folder import RESUME_NAME, RunFolder


def write_resume(folder: RunFolder, tag: str, state: bytes) -> None:
    """Write the state of a run; only a run of the same tag reads it."""
    folder.write(RESUME_NAME, f"{_first_line(tag, state)}\n".encode() + state)


class SavedState(NamedTuple):
    """The state of an interrupted run, or the reason why its file cannot be used."""

    content: bytes | None
    problem: str = ""


def read_resume(folder: RunFolder, tag: str) -> SavedState:
    """Return the state that was written under this tag, without content where there is none or it was damaged."""
    path = folder.path / RESUME_NAME
    if not path.exists():
        return SavedState(None)
    first_line, _, state = path.read_bytes().partition(b"\n")
    line = first_line.decode(errors="replace")
    if line == _first_line(tag, state):
        return SavedState(state)
    is_of_this_run = line.startswith(f"{tag} ")
    return SavedState(None, "its bytes were changed" if is_of_this_run else "")


def _first_line(tag: str, state: bytes) -> str:
    return f"{tag} {hashlib.sha256(state).hexdigest()}"
