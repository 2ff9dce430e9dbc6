"""Provenance of a run."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from pathlib import Path

from benchbench.records.provenance import code_state, machine, state_of, versions

CHECKOUT = Path(__file__).parents[1]


def test_the_commit_is_that_of_the_checkout() -> None:
    state = code_state()
    if not (CHECKOUT / ".git").exists():
        assert state == {"commit": None, "dirty": None}
        return
    head = subprocess.run(["git", "-C", CHECKOUT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert state["commit"] == head.stdout.strip()
    assert re.fullmatch("[0-9a-f]{40}", state["commit"])
    assert isinstance(state["dirty"], bool)


def test_nothing_names_the_machine_or_a_path() -> None:
    text = json.dumps([code_state(), machine(), versions()])
    assert platform.node() not in text.split('"')
    assert str(CHECKOUT) not in text


def test_versions_have_python_and_torch() -> None:
    assert versions()["python"] == platform.python_version()
    assert versions()["torch"].startswith("2.")


def test_results_are_no_change_of_the_code(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c", *words], check=True
        )

    (tmp_path / "results").mkdir()
    (tmp_path / "code.py").write_text("1")
    (tmp_path / "results" / "index.html").write_text("1")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    (tmp_path / "results" / "index.html").write_text("2")
    (tmp_path / "results" / "new.csv").write_text("2")
    state = state_of(tmp_path)
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "code.py").write_text("2")
    assert state_of(tmp_path)["dirty"] is True
