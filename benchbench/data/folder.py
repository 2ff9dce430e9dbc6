"""Opens a dataset in its folder under the data root."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from benchbench.contract import CaseRef, Dataset, DatasetPlugin
from benchbench.data.patience import patiently
from benchbench.errors import DataError, DataNotFoundError


def open_dataset(plugin: DatasetPlugin, params: Mapping[str, Any], *, data_root: Path | None) -> Dataset:
    """The dataset in `<data_root>/<name>`.

    Raises:
        DataNotFoundError: there is no data root or no such folder; says where the data are had.
    """
    if data_root is None:
        raise DataNotFoundError(
            f"no data root given: use --data-root DIR or set BENCHBENCH_DATA; {where_to_get(plugin)}"
        )
    folder = data_root / plugin.name
    if not folder.is_dir():
        raise DataNotFoundError(f"{plugin.name}: no folder {folder}; {where_to_get(plugin)}")
    return plugin.open(folder, **params)


def where_to_get(plugin: DatasetPlugin) -> str:
    """One sentence on how to come by the data, or do without."""
    return (
        f"get '{plugin.name}' from {plugin.download.page} ({plugin.download.licence}) with 'benchbench data get"
        f" {plugin.name} --data-root DIR', or add --rehearse to try phantom data"
    )


def case_digests(dataset: Dataset, cases: Sequence[CaseRef], *, threads: int) -> dict[str, str]:
    """Case id -> SHA-256 of the bytes of its files.

    Raises:
        DataError: with every fault of every case.
    """
    with ThreadPoolExecutor(threads) as pool:  # hashing lets go of the interpreter
        outcomes = list(pool.map(lambda case: _digest_or_faults(dataset, case.id), cases))
    faults = [fault for outcome in outcomes if isinstance(outcome, DataError) for fault in outcome.problems]
    if faults:
        raise DataError(*faults)
    return {case.id: str(outcome) for case, outcome in zip(cases, outcomes, strict=True)}


def file_states(dataset: Dataset, case_id: str) -> list[tuple[str, int, int]]:
    """Name, size and time of the last change of each file of a case.

    Raises:
        DataError: one is not there.
    """
    try:
        states = [(path, path.stat()) for path in dataset.files(case_id)]
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}; mend the file or its permissions") from error
    return [(path.name, state.st_size, state.st_mtime_ns) for path, state in states]


def dataset_digest(digests: Mapping[str, str]) -> str:
    """One SHA-256 for a whole dataset."""
    return hashlib.sha256("\n".join(f"{case} {digests[case]}" for case in sorted(digests)).encode()).hexdigest()


def file_digest(files: Sequence[Path]) -> str:
    """SHA-256 of the names and bytes of a case's files.

    Raises:
        DataError: a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in files:
            digest.update(f"{path.name}\n".encode())
            digest.update(patiently(partial(_content_digest, path)))
    except OSError as error:
        raise DataError(f"{error.filename or path}: {error.strerror}; mend the file or its permissions") from error
    return digest.hexdigest()


def _content_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _digest_or_faults(dataset: Dataset, case_id: str) -> str | DataError:
    try:
        return file_digest(dataset.files(case_id))
    except DataError as error:
        return error
