"""Digests of the files of a case and of a whole dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchbench.contract import CaseRef, Dataset
from benchbench.data.retry import retry_read
from benchbench.errors import DataError
from benchbench.images.input_files import FileFault, regular_size
from benchbench.threads import case_threads


def case_digests(dataset: Dataset, cases: Sequence[CaseRef], *, threads: int) -> dict[str, str]:
    """Return case id -> SHA-256 of the bytes of its files.

    Raises:
        DataError: names every file of every case that cannot be read.
    """
    with case_threads(threads) as pool:  # hashing releases the interpreter lock
        outcomes = list(pool.map(lambda case: _digest_or_error(dataset, case.id), cases))
    digests: dict[str, str] = {}
    problems: list[str] = []
    for case, outcome in zip(cases, outcomes, strict=True):
        if isinstance(outcome, DataError):
            problems += outcome.problems
        else:
            digests[case.id] = outcome
    if problems:
        raise DataError(*problems)
    return digests


def dataset_digest(digests: Mapping[str, str]) -> str:
    """Return one SHA-256 for a whole dataset, from case id -> digest."""
    lines = [f"{case} {digests[case]}" for case in sorted(digests)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def file_digest(files: Sequence[Path]) -> str:
    """Return the SHA-256 of the names and bytes of a case's files.

    Raises:
        DataError: a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in files:
            digest.update(f"{path.name}\n".encode())
            digest.update(retry_read(partial(_content_digest, path)))
    except FileFault as fault:
        raise DataError(f"{path}: {fault}") from fault
    except OSError as error:
        raise _unreadable(error, error.filename or path) from error
    return digest.hexdigest()


def file_states(dataset: Dataset, case_id: str) -> list[tuple[str, int, int]]:
    """Return name, size in bytes and time of the last change in ns of each file of a case.

    Raises:
        DataError: a file is missing.
    """
    states: list[tuple[str, int, int]] = []
    try:
        for path in dataset.files(case_id):
            status = path.stat()
            states.append((path.name, status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise _unreadable(error, error.filename) from error
    return states


def _digest_or_error(dataset: Dataset, case_id: str) -> str | DataError:
    try:
        return file_digest(dataset.files(case_id))
    except DataError as error:
        return error


def _content_digest(path: Path) -> bytes:
    regular_size(path, kind="a file of a dataset")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _unreadable(error: OSError, path: object) -> DataError:
    return DataError(f"{path}: {error.strerror}; correct the file or its permissions")
