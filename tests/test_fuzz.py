"""A few damaged inputs of each kind: no traceback, no hang and little memory; `fuzz.py` has thousands."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from toy_benchmark import Finished

EVIDENCE = Path(__file__).parents[1] / "benchmarks" / "evidence"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EVIDENCE)
    import fuzz

    return fuzz


def faults(script: ModuleType, kind: str, count: int) -> list[str]:
    outcomes = list(script.fuzz(kind, range(count), seed=1))
    assert len(outcomes) == count
    assert any(outcome.outcome == "refused" for outcome in outcomes)
    return [f"{outcome.number}: {outcome.outcome}: {outcome.message}" for outcome in outcomes if outcome.is_fault]


@pytest.mark.parametrize(
    ("kind", "count"), [("nifti", 60), ("tiff", 20), ("png", 60), ("benchmark", 25), ("pth", 15)]
)
def test_damaged_inputs_cause_no_fault(script: ModuleType, kind: str, count: int) -> None:
    assert faults(script, kind, count) == []


def test_damaged_results_cause_no_fault(
    script: ModuleType, finished_pair: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = shutil.copytree(finished_pair.results, tmp_path / "results")
    template = script.fuzz_benchmarks.keep_readable(results)
    monkeypatch.setattr(script.fuzz_benchmarks, "template", lambda: template)
    assert faults(script, "results", 15) == []


def raise_error(_: Path) -> None:
    raise KeyError("x")


def use_memory(_: Path) -> None:
    bytearray(600 * 2**20)


def leave(_: Path) -> None:
    sys.exit(0)


@pytest.mark.parametrize(
    ("read", "outcome"), [(raise_error, "traceback"), (use_memory, "memory"), (leave, "traceback")]
)
def test_a_fault_is_reported(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, read: object, outcome: str
) -> None:
    monkeypatch.setitem(script.KINDS, "png", script.KINDS["png"]._replace(read=read))
    (result,) = script.fuzz("png", [7])
    assert (result.outcome, result.number, result.is_fault) == (outcome, 7, True)


def test_a_hang_ends_its_process_and_the_next_input_is_read(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(path: Path) -> None:
        if (path.parent / "slow").exists():
            script.time.sleep(60)

    def draw(rng: object, folder: Path) -> Path:
        draws = folder.parent / f"{folder.name}.count"
        if not draws.exists():
            draws.touch()
            (folder / "slow").touch()
        return folder / "a"

    monkeypatch.setattr(script, "SECONDS", 0.2)
    monkeypatch.setitem(script.KINDS, "png", script.Kind(draw, wait))
    assert [result.outcome for result in script.fuzz("png", range(1))] == ["hang"]
