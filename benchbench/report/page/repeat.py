"""The command that repeats a row, and where its files lie."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from benchbench.plan.run import RunKey
from benchbench.results.folder import ResultsFolder
from benchbench.results.manifest import Manifest
from benchbench.tables.results import Results
from benchbench.tables.rows import Row, datasets, rows_of

_FILES = {"run.json": "recipe", "history.csv": "history", "worker.log": "log", "cases.parquet": "cases"}


class Link(NamedTuple):
    """A file beside the page."""

    text: str
    href: str


class Repeat(NamedTuple):
    """How a row came about."""

    label: str
    dataset: str
    command: str
    runs: list[tuple[str, list[Link]]]
    """Of each run its fold and seed, and its files."""


def repeats(folder: ResultsFolder, results: Results) -> list[Repeat]:
    """Of every row with a run that is done."""
    return [
        Repeat(row.label, dataset, command_of(results.manifest, row), [_run(folder, key) for key in row.runs])
        for dataset in datasets(results)
        for row in rows_of(results, dataset)
    ]


def command_of(manifest: Manifest, row: Row | None = None) -> str:
    """The command for one row, or for the whole benchmark."""
    words = ["benchbench", "run", manifest.file]
    words += ["--rehearse"] if manifest.rehearse else []
    for override in manifest.overrides:
        words += ["--set", override]
    if row is not None:
        dataset, model, variant = row.group
        chosen = {"dataset": dataset, "model": model, **({"variant": variant} if variant != "default" else {})}
        words += ["--only", ",".join(f"{name}={value}" for name, value in chosen.items())]
    return shlex.join(words)


def _run(folder: ResultsFolder, key: RunKey) -> tuple[str, list[Link]]:
    run = folder.run(key).path
    found = [(name, text) for name, text in _FILES.items() if (run / name).exists()]
    base = run.relative_to(folder.path).as_posix()
    return f"fold {key.fold}, seed {key.seed}", [Link(text, f"{base}/{name}") for name, text in found]
