"""Digests of the files of a benchmark, without the values that measure time."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

_IGNORED_NAMES = {".lock", "worker.log", ".gitignore", "plugins.log"}
_TIMED_KEYS = ("seconds", "cost", "retries")
_TIMED_PROVENANCE = ("peak_memory_bytes", "machine", "code")


def snapshot(root: Path) -> dict[str, str]:
    """Return file -> SHA-256 of its content without times."""
    digests: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        is_compared = (
            path.name not in _IGNORED_NAMES and ".claim" not in path.name and "events.out" not in path.name
        )
        if path.is_file() and is_compared:
            digests[name] = hashlib.sha256(_content(path)).hexdigest()
    return digests


def different_files(expected: Mapping[str, str], digests: Mapping[str, str]) -> list[str]:
    """Return the files of `expected` that are missing or have another content."""
    return [f"differs: {name}" for name in expected if digests.get(name) != expected[name]]


def leftovers(root: Path, known: Mapping[str, str]) -> list[str]:
    """Return the unfinished files and saved states that are not known from finished commands."""
    names: list[str] = []
    for path in root.rglob("*"):
        is_hidden = path.name.startswith(".") and path.name not in _IGNORED_NAMES and ".claim-" not in path.name
        name = path.relative_to(root).as_posix()
        if (is_hidden or path.name == "resume.pt") and name not in known:
            names.append(f"left: {name}")
    return names


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == "run.json":
        return _record_without_times(content)
    if path.name == "history.csv":
        return _history_without_times(content)
    return content


def _record_without_times(content: bytes) -> bytes:
    try:
        record = json.loads(content)
    except ValueError:
        return content
    for key in _TIMED_KEYS:
        record.pop(key, None)
    for key in _TIMED_PROVENANCE:
        record.get("provenance", {}).pop(key, None)
    return json.dumps(record, sort_keys=True).encode()


def _history_without_times(content: bytes) -> bytes:
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    for row in rows:
        for name in list(row):
            if "seconds" in name:
                del row[name]
    return json.dumps(rows).encode()
