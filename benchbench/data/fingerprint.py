"""Digests of datasets, stored in the cache and valid as long as the files keep their names, sizes and times."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchbench.contract import CaseRef, Dataset
from benchbench.data.atomic import write_atomic
from benchbench.data.digests import case_digests, dataset_digest, file_states
from benchbench.errors import DataError, StorageError

StoredDigests = dict[str, tuple[str, str]]
"""Case id -> (digest of its files' names, sizes and times; SHA-256 of its files)."""


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
    stored = _read_stored(folder, cache)
    current: StoredDigests = {}
    changed: list[CaseRef] = []
    states = case_states(dataset, cases)
    for case in cases:
        state, digest = stored.get(case.id, ("", ""))
        if state and state == states[case.id]:
            current[case.id] = (state, digest)
        else:
            changed.append(case)
    for case_id, digest in case_digests(dataset, changed, threads=threads).items():
        current[case_id] = (states[case_id], digest)
    with contextlib.suppress(StorageError):  # a read-only cache: the next call reads the files again
        write_atomic(_stored_file(folder, cache), json.dumps(current).encode())
    return dataset_digest({case_id: digest for case_id, (_, digest) in current.items()})


def case_states(dataset: Dataset, cases: Sequence[CaseRef]) -> dict[str, str]:
    """Return case id -> digest of the names, sizes and times of its files; '' if a file is missing."""
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
    """Return a digest of names, sizes and times; '' if a file is missing, which no stored state is."""
    try:
        return hashlib.sha256(json.dumps(file_states(dataset, case_id)).encode()).hexdigest()
    except DataError:
        return ""


def _read_stored(folder: Path, cache: Path) -> StoredDigests:
    try:
        stored = json.loads(_stored_file(folder, cache).read_text(encoding="utf-8"))
        return {case: (state, digest) for case, (state, digest) in stored.items()}
    except (OSError, ValueError, AttributeError, TypeError):  # missing or damaged: everything is computed again
        return {}


def _stored_file(folder: Path, cache: Path) -> Path:
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return cache / "fingerprints" / f"{name}.json"
