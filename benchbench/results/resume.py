"""The state of a run that is under way, as `resume.pt`: a line with its tag and digest, then the state."""

from __future__ import annotations

import hashlib

from benchbench.results.run_folder import RESUME_NAME, RunFolder


def write_resume(folder: RunFolder, tag: str, state: bytes) -> None:
    """Write the state of a run; only a run of the same tag reads it."""
    folder.write(RESUME_NAME, f"{_first_line(tag, state)}\n".encode() + state)


def read_resume(folder: RunFolder, tag: str) -> bytes | None:
    """Return the state that was written under this tag; None where there is none or its bytes were damaged."""
    path = folder.path / RESUME_NAME
    if not path.exists():
        return None
    first_line, _, state = path.read_bytes().partition(b"\n")
    is_whole = first_line.decode(errors="replace") == _first_line(tag, state)
    return state if is_whole else None


def _first_line(tag: str, state: bytes) -> str:
    return f"{tag} {hashlib.sha256(state).hexdigest()}"
