"""The benchmark files of this repository: all of them are planned, and all of them are rehearsed."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import benchbench

FOLDER = Path(__file__).parent.parent / "benchmarks"
FILES = sorted(path.stem for path in FOLDER.glob("*.toml"))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "options", [pytest.param([], marks=pytest.mark.slow), ["--rehearse"]], ids=["real", "rehearsal"]
)
def test_a_benchmark_file_can_be_planned(tmp_path: Path, name: str, options: list[str]) -> None:
    done = benchbench("plan", FOLDER / f"{name}.toml", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *_, last = done.stdout.splitlines()
    number = int(last.partition(" runs, ")[0])
    assert number >= 2
    assert last == f"{number} runs, {number} to do"


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_the_first_fold_of_a_benchmark_file_can_be_rehearsed_to_its_page(tmp_path: Path, name: str) -> None:
    words = ["run", FOLDER / f"{name}.toml", "--rehearse", "--jobs", 0, "--only", "fold=0"]
    done = benchbench(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "rehearsal" / name / "index.html").exists()
