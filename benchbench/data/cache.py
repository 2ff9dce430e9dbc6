"""The cache of prepared cases and phantom data: its entries, their last use, and their removal.

    <cache>/prepared/<k2>/<key>/case.json and arrays   one case under one preparation
    <cache>/phantoms/<key>/<dataset>/                  phantom patients of one recipe
    <cache>/running/<id>.lock                          locked by every process that uses the cache
    <cache>/compiled/                                  code of networks that runs have compiled, as torch stores it
    <cache>/fingerprints/                              digests of datasets, by their files' names, sizes and times

The last use of an entry is the newest time of its folder and files. A process that uses one calls `mark_used`.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from filelock import FileLock, Timeout

from benchbench.data.atomic import remove_folder, remove_leftovers
from benchbench.data.phantom import MARKER

RECENT_SECONDS = 3600.0
"""Entries that were used this recently are never removed."""
COMPILED_FOLDER = "compiled"
Kind = Literal["prepared", "phantom", "compiled", "unfinished"]


class Entry(NamedTuple):
    """A part of the cache that can be removed, and created again, independently of the others."""

    kind: Kind
    path: Path
    dataset: str
    """Name of the dataset; '' if the entry does not store it."""
    size_bytes: int
    used: float
    """Time of the last use, in seconds since 1970."""


@contextlib.contextmanager
def using(cache: Path) -> Iterator[None]:
    """Protect everything that is used within the block from removal; the lock ends with the process.

    What processes left unfinished when they died is removed. A cache that cannot be written is used as it is.
    """
    start = time.time()
    # the start is in the name, because testing a lock changes the time of its file
    lock = FileLock(cache / "running" / f"{int(start)}-{uuid.uuid4().hex}.lock")
    is_locked = _try_lock(lock)
    if is_locked:
        before = min([start, *_running_since(cache, without=Path(lock.lock_file))])
        _remove_unfinished(cache, before=before)
    try:
        yield
    finally:
        if is_locked:
            with contextlib.suppress(OSError):
                Path(lock.lock_file).unlink()
            lock.release()


def mark_used(folders: Iterable[Path]) -> None:
    """Record that entries are used now; many file systems do not record reads."""
    for folder in folders:
        with contextlib.suppress(OSError):  # a read-only cache may be used too
            os.utime(folder)


def entries(cache: Path) -> list[Entry]:
    """Return all entries, the least recently used first."""
    candidates = [_prepared(path) for path in cache.glob("prepared/*/*/")]
    candidates += [_phantom(path) for path in cache.glob("phantoms/*/")]
    candidates += [_entry("compiled", path, "") for path in cache.glob(f"{COMPILED_FOLDER}/")]
    present = [entry for entry in candidates if entry is not None]
    return sorted(present, key=lambda entry: entry.used)


def removable(
    all_entries: Iterable[Entry], *, older_than_seconds: float | None, most_bytes: int | None, now: float
) -> list[Entry]:
    """Return the entries to remove, the least recently used first: all of them without a condition.

    Entries unused for longer than `older_than_seconds` are removed; then more of them until the others fit into
    `most_bytes`.
    """
    rest = sorted(all_entries, key=lambda entry: entry.used)
    if older_than_seconds is None and most_bytes is None:
        return rest
    removed: list[Entry] = []
    if older_than_seconds is not None:
        removed = [entry for entry in rest if now - entry.used > older_than_seconds]
        rest = rest[len(removed) :]
    if most_bytes is not None:
        excess = sum(entry.size_bytes for entry in rest) - most_bytes
        for entry in rest:
            if excess <= 0:
                break
            removed.append(entry)
            excess -= entry.size_bytes
    return removed


def in_use(all_entries: Iterable[Entry], cache: Path, *, now: float) -> set[Path]:
    """Return the paths of entries used in the last hour, or since the start of the oldest process in `using`."""
    since = min([now - RECENT_SECONDS, *_running_since(cache)])
    return {entry.path for entry in all_entries if entry.used >= since}


def remove(entry: Entry) -> None:
    """Remove an entry; other processes see it complete or not at all."""
    remove_folder(entry.path)


def _try_lock(lock: FileLock) -> bool:
    """Take a lock of this process's own; return False where its folder cannot be written."""
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):  # not writable, or a file system without locks
        return False
    return True


def _running_since(cache: Path, *, without: Path | None = None) -> Iterator[float]:
    """Yield the start of each process that uses the cache; remove the locks of processes that have ended."""
    for lock in cache.glob("running/*.lock"):
        if lock == without:
            continue
        try:
            with FileLock(lock, timeout=0):
                lock.unlink(missing_ok=True)
        except Timeout:
            yield float(lock.name.partition("-")[0])
        except (OSError, NotImplementedError):  # a read-only cache, or a file system without locks
            continue


def _remove_unfinished(cache: Path, *, before: float) -> None:
    """Remove what was never finished and was last changed before any living process started."""
    for folder in (cache / "fingerprints", *cache.glob("prepared/*/"), *cache.glob("phantoms/*/")):
        remove_leftovers(folder, before=before)


def _prepared(folder: Path) -> Entry | None:
    try:
        description = json.loads((folder / "case.json").read_text())
        dataset = description.get("dataset", "")
    except (OSError, ValueError):
        return _entry("unfinished", folder, "")
    return _entry("prepared", folder, str(dataset))


def _phantom(folder: Path) -> Entry | None:
    marker = next(folder.glob(f"*/{MARKER}"), None)
    if marker is None:
        return _entry("unfinished", folder, "")
    return _entry("phantom", folder, marker.parent.name)


def _entry(kind: Kind, folder: Path, dataset: str) -> Entry | None:
    try:
        states = [path.lstat() for path in (folder, *folder.rglob("*"))]
    except FileNotFoundError:  # another process is removing it
        return None
    size = sum(state.st_size for state in states if stat.S_ISREG(state.st_mode))
    return Entry(kind, folder, dataset, size, max(state.st_mtime for state in states))
