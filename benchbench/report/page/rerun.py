"""The commands that run a benchmark or one of its rows again, and links to the files of the runs."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from benchbench.plan.run import RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.records.manifest import Manifest
from benchbench.tables.results import Results
from benchbench.tables.rows import Row, planned_rows

_FILES = {"run.json": "recipe", "history.csv": "history", "worker.log": "log", "cases.parquet": "cases"}
"""File of a run -> text of its link."""


class Link(NamedTuple):
    """A link to a file, relative to the page."""

    text: str
    href: str


class RunFiles(NamedTuple):
    """The files of a run."""

    name: str
    """Fold and seed."""
    links: list[Link]


class RowRerun(NamedTuple):
    """The command that runs a row again, and the files of its runs."""

    label: str
    dataset: str
    command: str
    runs: list[RunFiles]


def row_reruns(folder: ResultsFolder, results: Results) -> list[RowRerun]:
    """Return command and files of every planned row."""
    reruns = []
    for dataset in results.manifest.datasets:
        for row in planned_rows(results, dataset):
            runs = [_run_files(folder, key) for key in row.runs]
            reruns.append(RowRerun(row.label, dataset, command_of(results.manifest, row), runs))
    return reruns


def command_of(manifest: Manifest, row: Row | None = None) -> str:
    """Return the command for one row, or for the whole benchmark."""
    words = ["benchbench", "run", manifest.file]
    if manifest.rehearse:
        words.append("--rehearse")
    for override in manifest.overrides:
        words += ["--set", override]
    if row is not None:
        filters = [f"dataset={row.group.dataset}", f"model={row.group.model}"]
        if row.group.variant != "default":
            filters.append(f"variant={row.group.variant}")
        words += ["--only", ",".join(filters)]
    return shlex.join(words)


def _run_files(folder: ResultsFolder, key: RunKey) -> RunFiles:
    path = folder.run(key).path
    base = path.relative_to(folder.path).as_posix()
    links = []
    for name, text in _FILES.items():
        if (path / name).exists():
            links.append(Link(text, f"{base}/{name}"))
    return RunFiles(f"fold {key.fold}, seed {key.seed}", links)
