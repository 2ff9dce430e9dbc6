"""The files of a folder, to compare what phantoms write."""

from __future__ import annotations

from pathlib import Path


def file_bytes(root: Path) -> dict[str, bytes]:
    """Return path from the root -> content of every file below it."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
