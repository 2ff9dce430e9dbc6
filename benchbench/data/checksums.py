"""Size and SHA-256 of the files of a folder in the cache, by which damage is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

Checksums = Mapping[str, tuple[int, str]]
"""Path of a file below its folder -> (size in bytes, SHA-256)."""


def folder_checksums(folder: Path) -> dict[str, tuple[int, str]]:
    """Return the checksum of every file of a folder; files whose names begin with a dot belong to the system."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): _checksum(path) for path in files}


def size_problem(folder: Path, checksums: Checksums) -> str:
    """Return a line about the first file that is missing or has another size; '' where there is none."""
    for name, (size, _) in checksums.items():
        problem = file_size_problem(folder / name, size)
        if problem:
            return problem
    return ""


def file_size_problem(path: Path, expected: int) -> str:
    """Return a line about a file that is missing or has another size; '' for one of the expected size."""
    if not path.is_file():
        return f"{path}: missing"
    size = path.stat().st_size
    if size != expected:
        return f"{path}: found {size} bytes, expected {expected}"
    return ""


def content_problem(folder: Path, checksums: Checksums) -> str:
    """Return a line about the first file that is missing or was changed; '' where there is none."""
    problem = size_problem(folder, checksums)
    if problem:
        return problem
    for name, (_, digest) in checksums.items():
        if _checksum(folder / name)[1] != digest:
            return f"{folder / name}: changed since it was written"
    return ""


def _checksum(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return path.stat().st_size, digest
