"""Digests of a dataset that are remembered as long as its files keep their names, sizes and times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from benchbench.contract import CaseRef, Dataset
from benchbench.data.atomic import write_atomic
from benchbench.data.folder import case_digests, dataset_digest, file_states
from benchbench.errors import DataError

Remembered = dict[str, tuple[str, str]]
"""Case id -> (its files' names, sizes and times as a digest, SHA-256 of its files)."""


def known_fingerprint(dataset: Dataset, cases: Sequence[CaseRef], *, folder: Path, cache: Path) -> str | None:
    """The digest of the dataset in `folder` where all of it is remembered; reads no file of it."""
    remembered = _recall(folder, cache)
    states = {case.id: _state(dataset, case.id) for case in cases}
    if any(remembered.get(case, ("", ""))[0] != state for case, state in states.items()):
        return None
    return dataset_digest({case: remembered[case][1] for case in states})


def fingerprint(dataset: Dataset, cases: Sequence[CaseRef], *, folder: Path, cache: Path, threads: int) -> str:
    """The digest of the dataset in `folder`; reads only what is not remembered.

    Raises:
        DataError: with every file that cannot be read.
    """
    remembered = _recall(folder, cache)
    states = {case.id: _state(dataset, case.id) for case in cases}
    changed = [
        case for case in cases if remembered.get(case.id, ("", ""))[0] != states[case.id] or not states[case.id]
    ]
    fresh = case_digests(dataset, changed, threads=threads)
    kept = {case: remembered[case] for case in states if case not in fresh}
    kept |= {case: (states[case], digest) for case, digest in fresh.items()}
    path = _memory(folder, cache)
    write_atomic(path, json.dumps(kept).encode())
    return dataset_digest({case: digest for case, (_, digest) in kept.items()})


def _state(dataset: Dataset, case_id: str) -> str:
    """Empty where a file is missing, which nothing remembered is."""
    try:
        return hashlib.sha256(json.dumps(file_states(dataset, case_id)).encode()).hexdigest()
    except DataError:
        return ""


def _recall(folder: Path, cache: Path) -> Remembered:
    try:
        stored = json.loads(_memory(folder, cache).read_text(encoding="utf-8"))
        return {case: (state, digest) for case, (state, digest) in stored.items()}
    except (OSError, ValueError, AttributeError, TypeError):  # what is not remembered is computed
        return {}


def _memory(folder: Path, cache: Path) -> Path:
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return cache / "fingerprints" / f"{name}.json"
