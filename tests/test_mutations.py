"""The list of mutations fits the code that it changes."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LINE = "class Counts(NamedTuple):"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "evidence")
    import mutations

    return mutations


def test_every_change_can_be_made_and_has_test_files(script: ModuleType) -> None:
    mutations = script.read_mutations()
    assert len(mutations) > 100
    assert script.check(mutations, ROOT) == []


def mutation(script: ModuleType, **changes: Any) -> Any:
    fields = {
        "id": "wrong-dice",
        "file": "benchbench/metrics/overlaps.py",
        "old": LINE,
        "new": "",
        "tests": ("tests/test_metrics.py",),
        "breaks": "all of it",
    }
    return script.Mutation(**{**fields, **changes})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"old": "import"}, r"its old text is \d+ times in benchbench/metrics/overlaps.py, expected once"),
        ({"old": "no such text"}, "its old text is 0 times in benchbench/metrics/overlaps.py, expected once"),
        ({"file": "benchbench/none.py"}, "its old text is 0 times in benchbench/none.py, expected once"),
        ({"tests": ("tests/test_none.py",)}, "no test file tests/test_none.py"),
        ({"tests": ("-k", "dice")}, "no test file given"),
        ({"new": LINE}, "changes nothing"),
    ],
)
def test_a_change_that_cannot_be_made_or_tested_is_named(
    script: ModuleType, change: dict[str, Any], fault: str
) -> None:
    assert script.check([mutation(script)], ROOT) == []
    (line,) = script.check([mutation(script, **change)], ROOT)
    assert re.fullmatch(f"wrong-dice: {fault}", line)


def test_a_change_that_is_listed_twice_is_named(script: ModuleType) -> None:
    assert script.check([mutation(script)] * 2, ROOT) == ["wrong-dice: listed 2 times"]


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        (["caught"] * 19 + ["survived"], 0),
        (["caught"] * 18 + ["survived"] * 2, 1),
        (["caught"] * 19 + ["error"], 1),
    ],
)
def test_the_exit_status_is_1_below_95_percent_and_after_an_error(
    script: ModuleType, outcomes: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [script.Result(mutation(script), outcome, 1.0) for outcome in outcomes]
    assert script.report(results) == status
    assert f"| metrics | 20 | {outcomes.count('caught')} |" in capsys.readouterr().out
