"""A report that is current: nothing that it is made of has changed, and its files are as it wrote them.

`.report.json` in the results folder has the SHA-256 of everything that a report depends on, and that of each of
its files. The report depends on the manifest, on the tables, histories and records of the runs, on which other
files the runs have (the page links to them), on the options, on the source of this package and on the libraries
that compute and draw. Where any of them differs, or the file cannot be read, the report is written again.
"""

from __future__ import annotations

import hashlib
import json
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from benchbench.records.digest_list import digest_of, is_input, names_in
from benchbench.records.files import json_bytes
from benchbench.records.folder import ResultsFolder

STATE_NAME = ".report.json"
_PACKAGE = Path(__file__).parents[1]
_LIBRARIES = ("jinja2", "matplotlib", "numpy", "pandas", "pillow", "pyarrow", "pydantic", "scipy")
_READ = (".csv", ".json", ".parquet")
"""Ends of the names of files that a report reads; of the others of a run, such as weights, only names count."""
_OF_OTHERS = ("jobs.json",)
_OTHER_FOLDERS = ("viewer/",)


class ReportState(NamedTuple):
    """The digests of a report."""

    inputs: str
    """SHA-256 of everything that the report depends on."""
    files: dict[str, str]
    """Name -> SHA-256 of each file of the report."""


def digest_inputs(folder: ResultsFolder, *, pictures: bool) -> str:
    """Return the SHA-256 of everything that a report of the folder depends on."""
    lines = [f"pictures {pictures}", f"python {platform.python_version()}", f"source {_digest_source()}"]
    lines += [f"{name} {version(name)}" for name in _LIBRARIES]
    for name in filter(is_input, names_in(folder.path)):
        content = digest_of(folder.path / name) if name.endswith(_READ) else "present"
        lines.append(f"{content} {name}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def is_current(folder: ResultsFolder, inputs: str) -> bool:
    """Return True if the last report was made of the same inputs, and its files are all there and unaltered."""
    state = _read_state(folder)
    return state is not None and state.inputs == inputs and state.files == _digest_files(folder)


def remember_report(folder: ResultsFolder, inputs: str, *, pictures: bool) -> None:
    """Store that the files of the folder are the report of these inputs, unless the inputs have changed since."""
    if digest_inputs(folder, pictures=pictures) != inputs:
        return
    with folder.writing():
        state = ReportState(inputs, _digest_files(folder))
        folder.write(STATE_NAME, json_bytes(state._asdict()))


def _read_state(folder: ResultsFolder) -> ReportState | None:
    """Return the state that the last report wrote; None where there is none, or it cannot be read."""
    try:
        return ReportState(**json.loads((folder.path / STATE_NAME).read_bytes()))
    except (OSError, ValueError, TypeError):  # damaged, or of another version
        return None


def _digest_files(folder: ResultsFolder) -> dict[str, str]:
    """Return name -> digest of all files that are not of a run, apart from those that other commands write."""
    files: dict[str, str] = {}
    for name in names_in(folder.path):
        if not is_input(name) and name not in _OF_OTHERS and not name.startswith(_OTHER_FOLDERS):
            files[name] = digest_of(folder.path / name)
    return files


@cache
def _digest_source() -> str:
    """Return the SHA-256 of this package: modules, templates, style sheets and scripts."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path.relative_to(_PACKAGE).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()
