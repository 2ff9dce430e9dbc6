"""A benchmark of the third-party plugin: its file, its data, and all that a finished one leaves."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from commands import benchbench

from benchbench.records.folder import ResultsFolder

BENCHMARK = """
title = "Squares"
datasets = [{ name = "squares" }]

[[models]]
name = "plain"

[protocol]
patch = [32, 32]
folds = 2
epochs = 2
batch = 4
optimizer = { name = "adam", lr = 1e-2 }
loss = "bce+dice"
augment = [{ name = "flip" }]

[[tables]]
rows = "fold"
columns = "model"
value = "dice"

[rehearse]
data = { patients = 4, size = 32 }
"""

PAIR = BENCHMARK.replace("[protocol]", '[[models]]\nname = "plain_too"\n\n[protocol]')
PAIR += '[[ensembles]]\nname = "both"\n'
"""Two models and their ensemble."""
SHORT = ("protocol.epochs=1", "models.plain_too.width=3")
"""Settings of a finished pair."""


def write_benchmark(folder: Path, text: str = BENCHMARK) -> Path:
    path = folder / "squares.toml"
    path.write_text(text)
    return path


def write_data(folder: Path, *, patients: int = 4) -> Path:
    from toy_plugin import write_squares

    root = folder / "data"
    (root / "squares").mkdir(parents=True)
    write_squares(root / "squares", patients=patients, size=32, seed=0)
    return root


class Finished(NamedTuple):
    """A benchmark whose runs are all done. Its files are read by many tests; a test that changes them takes a copy."""

    root: Path

    @property
    def file(self) -> Path:
        return self.root / "squares.toml"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def folder(self) -> ResultsFolder:
        return ResultsFolder(self.results / "squares")

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def output(self) -> str:
        """The lines that the command printed."""
        return (self.root / "output.txt").read_text()

    def copy(self, folder: Path) -> Finished:
        """The same benchmark in a folder of one test, which may change it."""
        shutil.copytree(self.root, folder, dirs_exist_ok=True)
        return Finished(folder)


def run_once(folder: Path) -> None:
    """Write the benchmark and its data into a folder and carry it out there, figures included."""
    words = ["run", write_benchmark(folder), "--data-root", write_data(folder), "--jobs", 0]
    done = benchbench(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "output.txt").write_text(done.stdout)


def run_pair_once(folder: Path) -> None:
    """Do the same with two models and their ensemble, as `SHORT` says and without figures."""
    from carry import carry  # imports torch

    with mock.patch("benchbench.report.draw_figures", return_value=[]):
        carry(write_benchmark(folder, PAIR), write_data(folder), folder, *SHORT)
