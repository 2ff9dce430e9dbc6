"""Digests of datasets, stored in the cache and valid as long as the state of every file is the same.

The state of a file is its name, size, inode, and the times of the last change of its content and of its metadata,
as in the index of Git: a copy that keeps the time of the original has another inode or another time of metadata.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchbench.contract import CaseRef, Dataset
from benchbench.data.atomic import write_atomic
from benchbench.data.digests import case_digests, dataset_digest
from benchbench.errors import DataError, StorageError

SETTLED_SECONDS = 2.0
"""Age from which the state of a file counts: a later change could have the same times, in steps of up to 2 s."""

StoredDigests = dict[str, tuple[str, str]]
"""Case id -> (digest of the states of its files; SHA-256 of its files)."""


def known_fingerprint(dataset: Dataset, cases: Sequence[CaseRef], *, folder: Path, cache: Path) -> str | None:
    """Return the digest of the dataset in `folder` without reading its files; None unless all of it is stored."""
    stored = _read_stored(folder, cache)
    digests: dict[str, str] = {}
    for case in cases:
        state, digest = stored.get(case.id, ("", ""))
        if not state or state != _state(dataset, case.id):
            return None
        digests[case.id] = digest
    return dataset_digest(digests)


def fingerprint(dataset: Dataset, cases: Sequence[CaseRef], *, folder: Path, cache: Path, threads: int) -> str:
    """Return the digest of the dataset in `folder`; only files without a valid stored digest are read.

    Raises:
        DataError: names every file that cannot be read.
    """
    return dataset_digest(remembered_digests(dataset, cases, folder=folder, cache=cache, threads=threads))


def remembered_digests(
    dataset: Dataset,
    cases: Sequence[CaseRef],
    *,
    folder: Path,
    cache: Path,
    threads: int,
    read_all: bool = False,
) -> dict[str, str]:
    """Return case id -> SHA-256 of its files, of which only those without a valid stored digest are read.

    `read_all` reads every file.

    Raises:
        DataError: names every file that cannot be read.
    """
    stored = {} if read_all else _read_stored(folder, cache)
    digests: dict[str, str] = {}
    changed: list[CaseRef] = []
    states = case_states(dataset, cases)
    for case in cases:
        state, digest = stored.get(case.id, ("", ""))
        if state and state == states[case.id]:
            digests[case.id] = digest
        else:
            changed.append(case)
    if changed:
        computed = case_digests(dataset, changed, threads=threads)
        with contextlib.suppress(StorageError):  # a read-only cache: the next call reads the files again
            store_fingerprint(computed, states, dataset, folder=folder, cache=cache)
        digests |= computed
    return {case.id: digests[case.id] for case in cases}


def case_states(dataset: Dataset, cases: Sequence[CaseRef]) -> dict[str, str]:
    """Return case id -> digest of the states of its files; '' if a file is missing or was changed just now."""
    return {case.id: _state(dataset, case.id) for case in cases}


def store_fingerprint(
    digests: Mapping[str, str], states_before: Mapping[str, str], dataset: Dataset, *, folder: Path, cache: Path
) -> None:
    """Store digests that were computed elsewhere, of cases whose files are as in `states_before`."""
    stored = _read_stored(folder, cache)
    for case_id, digest in digests.items():
        state = states_before[case_id]
        if state and state == _state(dataset, case_id):
            stored[case_id] = (state, digest)
    write_atomic(_stored_file(folder, cache), json.dumps(stored).encode())


def _state(dataset: Dataset, case_id: str) -> str:
    """Return a digest of the states of the files; '' if one is missing or new, which no stored state is."""
    newest = time.time_ns() - int(SETTLED_SECONDS * 1e9)
    states: list[tuple[str, int, int, int, int]] = []
    try:
        for path in dataset.files(case_id):
            status = path.stat()
            if max(status.st_mtime_ns, status.st_ctime_ns) > newest:
                return ""
            times = (status.st_mtime_ns, status.st_ctime_ns)
            states.append((path.name, status.st_size, status.st_ino, *times))
    except (OSError, DataError):
        return ""
    return hashlib.sha256(json.dumps(states).encode()).hexdigest()


def _read_stored(folder: Path, cache: Path) -> StoredDigests:
    try:
        stored = json.loads(_stored_file(folder, cache).read_text(encoding="utf-8"))
        return {case: (state, digest) for case, (state, digest) in stored.items()}
    except (OSError, ValueError, AttributeError, TypeError):  # missing or damaged: everything is computed again
        return {}


def _stored_file(folder: Path, cache: Path) -> Path:
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return cache / "fingerprints" / f"{name}.json"
