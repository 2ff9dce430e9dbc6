"""The SHA-256 of every file of a published results folder, as `SHA256SUMS`, which `sha256sum -c` reads as well."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from benchbench.errors import IntegrityError
from benchbench.records.folder import MANIFEST_NAME, ResultsFolder

DIGEST_LIST_NAME = "SHA256SUMS"
_RUNS = "runs"
_REMEDY = "copy the published folder again"


def write_digest_list(folder: ResultsFolder) -> None:
    """Write the digests of all files of the folder, apart from the list and locks."""
    lines = [f"{digest_of(folder.path / name)}  {name}\n" for name in names_in(folder.path)]
    folder.write(DIGEST_LIST_NAME, "".join(lines))


def refresh_digest_list(folder: ResultsFolder) -> None:
    """Write the list again where there is one, after a report has written its files."""
    if has_digest_list(folder):
        write_digest_list(folder)


def check_published_runs(folder: ResultsFolder) -> None:
    """Compare the manifest and the files of runs with the list, if there is one, before a report is made of them.

    Raises:
        IntegrityError: with a line for each file that was changed, lost or added.
    """
    faults = [fault for fault in digest_faults(folder) if is_input(fault.name)]
    if faults:
        raise IntegrityError(*(str(fault) for fault in faults))


def has_digest_list(folder: ResultsFolder) -> bool:
    return (folder.path / DIGEST_LIST_NAME).exists()


class DigestFault:
    """A file that is not as the list says."""

    def __init__(self, path: Path, name: str, finding: str) -> None:
        self.name = name
        self._path = path
        self._finding = finding

    def __str__(self) -> str:
        return f"{self._path / self.name}: {self._finding}; {_REMEDY}"


def digest_faults(folder: ResultsFolder) -> Iterator[DigestFault]:
    """Yield every file that was changed, lost or added since the list was written; none without a list."""
    if not has_digest_list(folder):
        return
    listed = _read(folder.path)
    present = set(names_in(folder.path))
    for name in sorted(present | set(listed)):
        if name not in listed:
            yield DigestFault(folder.path, name, f"found a file that {DIGEST_LIST_NAME} does not list")
        elif name not in present:
            yield DigestFault(folder.path, name, f"missing, but {DIGEST_LIST_NAME} lists it")
        elif digest_of(folder.path / name) != listed[name]:
            yield DigestFault(folder.path, name, f"changed since {DIGEST_LIST_NAME} was written")


def _read(folder: Path) -> dict[str, str]:
    """Return name -> digest.

    Raises:
        IntegrityError: a line is not a digest and the name of a file in the folder.
    """
    path = folder / DIGEST_LIST_NAME
    digests: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        digest, _, name = line.partition("  ")
        parts = PurePosixPath(name).parts
        if len(digest) != 64 or not parts or ".." in parts or name.startswith("/"):
            raise IntegrityError(f"{path}: line {number}: found no digest and name of a file; {_REMEDY}")
        digests[name] = digest
    return digests


def names_in(folder: Path) -> list[str]:
    """Return the names of the files, relative to the folder; hidden files are locks and unfinished writes."""
    names: list[str] = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.name.startswith(".") and name != DIGEST_LIST_NAME:
            names.append(name)
    return sorted(names)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_input(name: str) -> bool:
    """Return True for the manifest and the files of runs, from which reports are made."""
    return name == MANIFEST_NAME or name.startswith(f"{_RUNS}/")
