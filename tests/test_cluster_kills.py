"""benchmarks/evidence/cluster_kills.py: workers and commands that are killed leave the bytes of those that are not."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

EVIDENCE = Path(__file__).parents[1] / "benchmarks" / "evidence"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(autouse=True)
def evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts can be imported."""
    monkeypatch.syspath_prepend(str(EVIDENCE))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def test_processes_below_a_process_are_listed_until_they_end() -> None:
    from process_tree import descendants, wait_for_end

    with subprocess.Popen(["sh", "-c", "sleep 60 & wait"]) as parent:
        while len(below := descendants(parent.pid)) < 1 or below[0].words != ["sleep", "60"]:
            time.sleep(0.01)
        (sleeper,) = below
        assert sleeper.depth == 1
        assert sleeper.is_alive
        parent.kill()
        subprocess.run(["kill", str(sleeper.process)], check=True)
        assert wait_for_end([sleeper]) == []
    assert descendants(parent.pid) == []
    assert not sleeper.is_alive


def test_a_kind_without_its_package_is_skipped_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import cluster_kills

    monkeypatch.setattr(cluster_kills, "find_spec", lambda name: None if name == "ray" else name)
    assert cluster_kills.choose_kinds("head,ray_head,slurm_head") == ["head", "slurm_head"]
    assert capsys.readouterr().out == "skipped: ray_head: ray is not installed\n"


@pytest.mark.slow
def test_killed_workers_leave_the_bytes_of_others(tmp_path: Path) -> None:
    kinds = "run,worker,head,lost_host"
    words = [sys.executable, EVIDENCE / "cluster_kills.py", "--only", kinds, "--kills", "4", "--work", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 attempts, 4 identical" in done.stdout
