"""The benchmark files of this repository: all of them are planned, and all of them are rehearsed."""

from __future__ import annotations

import json
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
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FILES)
def test_the_first_fold_of_a_benchmark_file_can_be_rehearsed_to_its_page(tmp_path: Path, name: str) -> None:
    file = FOLDER / f"{name}.toml"
    done = benchbench("run", file, "--rehearse", "--jobs", 0, "--only", "fold=0", cwd=tmp_path)
    results = tmp_path / "results" / "rehearsal" / name
    records = [json.loads(path.read_bytes()) for path in results.rglob("run.json")]
    assert records
    if 'over = "folds"' in file.read_text():
        assert done.returncode == 1
        assert {record["status"] for record in records} == {"waiting"}
        assert all("fold 1 must be trained first" in record["reason"] for record in records)
    else:
        assert done.returncode == 0, done.stderr
    assert (results / "index.html").exists()
