"""The cache of prepared cases and phantom data: what is there, who uses it, what can go.

    <cache>/prepared/<k2>/<key>/case.json and arrays   one case under one preparation
    <cache>/phantoms/<key>/<dataset>/                  made-up patients of one recipe
    <cache>/running/<id>.lock                          held by every process that uses the cache
    <cache>/fingerprints/                              digests of datasets, by their files' names, sizes and times

An entry's last use is the newest time of its folder and files: whoever uses an entry calls `mark_used`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from filelock import FileLock, Timeout

from benchbench.data.phantom import MARKER

UNTOUCHABLE_SECONDS = 3600.0
"""What was used this recently is left alone."""


class Entry(NamedTuple):
    """One thing in the cache that can be removed, and made anew, by itself."""

    kind: Literal["prepared", "phantom", "unfinished"]
    path: Path
    dataset: str
    """Empty where the entry does not tell."""
    size_bytes: int
    used: float
    """Seconds since 1970."""


@contextlib.contextmanager
def using(cache: Path) -> Iterator[None]:
    """Keeps `prune` off whatever is used from now on; the system lets go when the process dies."""
    # the time is in the name: looking at a lock changes that of the file
    lock = cache / "running" / f"{time.time():.0f}-{uuid.uuid4().hex}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def mark_used(folders: Iterable[Path]) -> None:
    """Notes that entries are used now; reading alone leaves no trace on many file systems."""
    for folder in folders:
        with contextlib.suppress(OSError):  # a cache that cannot be written may still be read
            os.utime(folder)


def entries(cache: Path) -> list[Entry]:
    """All entries, the longest unused first."""
    found = [_prepared(path) for path in cache.glob("prepared/*/*/")]
    found += [_phantom(path) for path in cache.glob("phantoms/*/")]
    return sorted((entry for entry in found if entry), key=lambda entry: entry.used)


def removable(
    found: Iterable[Entry], *, older_than_seconds: float | None, most_bytes: int | None, now: float
) -> list[Entry]:
    """The entries unused for that long and, the longest unused first, those that are too many for the size.

    All, where neither is given.
    """
    waiting = sorted(found, key=lambda entry: entry.used)
    if older_than_seconds is None and most_bytes is None:
        return waiting
    old = [entry for entry in waiting if older_than_seconds is not None and now - entry.used > older_than_seconds]
    rest = waiting[len(old) :]
    excess = sum(entry.size_bytes for entry in rest) - (most_bytes if most_bytes is not None else math.inf)
    for entry in rest:
        if excess <= 0:
            break
        old.append(entry)
        excess -= entry.size_bytes
    return old


def in_use(found: Iterable[Entry], cache: Path, *, now: float) -> set[Path]:
    """Of entries, those used within the last hour or since the oldest process that is at the cache began."""
    since = min([now - UNTOUCHABLE_SECONDS, *_running_since(cache)])
    return {entry.path for entry in found if entry.used >= since}


def remove(entry: Entry) -> None:
    """Removes an entry at one blow, so that no process finds half of it."""
    doomed = entry.path.with_name(f".doomed.{uuid.uuid4().hex}")
    try:
        entry.path.rename(doomed)
    except FileNotFoundError:  # another process was quicker
        return
    shutil.rmtree(doomed)


def _running_since(cache: Path) -> Iterator[float]:
    """When each process that is still at the cache began; removes the locks of those that are not."""
    for lock in cache.glob("running/*.lock"):
        try:
            with FileLock(lock, timeout=0):
                lock.unlink(missing_ok=True)
        except Timeout:
            yield float(lock.name.partition("-")[0])


def _prepared(folder: Path) -> Entry | None:
    described = folder / "case.json"
    try:
        dataset = json.loads(described.read_text()).get("dataset", "")
    except (OSError, ValueError):
        return _entry("unfinished", folder, "")
    return _entry("prepared", folder, str(dataset))


def _phantom(folder: Path) -> Entry | None:
    marker = next(folder.glob(f"*/{MARKER}"), None)
    return _entry("phantom", folder, marker.parent.name) if marker else _entry("unfinished", folder, "")


def _entry(kind: Literal["prepared", "phantom", "unfinished"], folder: Path, dataset: str) -> Entry | None:
    try:
        states = [path.lstat() for path in (folder, *folder.rglob("*"))]
    except FileNotFoundError:  # removed meanwhile
        return None
    size = sum(state.st_size for state in states if stat.S_ISREG(state.st_mode))
    return Entry(kind, folder, dataset, size, max(state.st_mtime for state in states))
