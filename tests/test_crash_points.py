"""The parts of benchmarks/evidence/crash_points.py that choose points and compare files."""

from __future__ import annotations

import json
import random
import sys
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts can be imported."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "evidence"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def test_points_are_spread_over_the_kinds_of_calls() -> None:
    from crash_points import sample

    calls = [("rename", "rename", number) for number in range(2)]
    calls += [("write", "write", number) for number in range(50)]
    generator = partial(random.Random, 0)
    chosen = sample(calls, 10, generator())
    assert sorted(kind for kind, _, _ in chosen) == ["rename"] * 2 + ["write"] * 8
    assert len(set(chosen)) == 10
    assert sample(calls, 10, generator()) == chosen
    assert len(sample(calls, 100, generator())) == 52


def test_a_changed_score_is_a_difference_and_a_time_is_none(tmp_path: Path) -> None:
    from crash_compare import different_files, snapshot

    record = {
        "status": "done",
        "seconds": 1.0,
        "cost": {"train_seconds": 2},
        "provenance": {"machine": "a", "seed": 0},
    }
    (tmp_path / "run.json").write_text(json.dumps(record))
    (tmp_path / "history.csv").write_text("epoch,loss,seconds\n0,1.5,3.0\n")
    before = snapshot(tmp_path)
    later = {**record, "seconds": 9.0, "cost": {}, "provenance": {"machine": "b", "seed": 0}}
    (tmp_path / "run.json").write_text(json.dumps(later))
    (tmp_path / "history.csv").write_text("epoch,loss,seconds\n0,1.5,7.0\n")
    assert different_files(before, snapshot(tmp_path)) == []
    (tmp_path / "run.json").write_text(json.dumps({**record, "status": "failed"}))
    (tmp_path / "history.csv").write_text("epoch,loss,seconds\n0,1.6,3.0\n")
    assert different_files(before, snapshot(tmp_path)) == ["differs: history.csv", "differs: run.json"]
    (tmp_path / "run.json").unlink()
    assert "differs: run.json" in different_files(before, snapshot(tmp_path))


def test_unfinished_files_and_saved_states_are_left_over(tmp_path: Path) -> None:
    from crash_compare import leftovers

    for name in (
        ".folds.csv.0123456789abcdef0123456789abcdef",
        "resume.pt",
        ".claim-1",
        ".lock",
        "folds.csv",
        ".DS_Store",
    ):
        (tmp_path / name).touch()
    assert sorted(leftovers(tmp_path, {".DS_Store": ""})) == [
        "left: .folds.csv.0123456789abcdef0123456789abcdef",
        "left: resume.pt",
    ]
