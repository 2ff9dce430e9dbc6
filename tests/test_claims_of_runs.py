"""Claims: one process carries out a run, on whatever machine, and another takes over when it is lost."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from benchbench.data.advisory_lock import acquire_where_possible
from benchbench.errors import UsageError
from benchbench.launch.attempts import read_attempts
from benchbench.records import claims
from benchbench.records.claims import Claim, Holder, active_claim, all_claims, last_claim, try_claim
from benchbench.records.run_folder import RunBusyError, RunFolder


def of_another_machine(folder: Path, *, age: float) -> Claim:
    """Write the claim of a process on another machine, renewed `age` seconds ago, and return it."""
    number = len(all_claims(folder)) + 1
    path = folder / f".claim-{number}"
    holder = Holder(owner="x", host="node7", process=5, started="1", system="other")
    path.write_text(json.dumps(holder._asdict()))
    now = path.stat().st_mtime
    os.utime(path, (now - age, now - age))
    return Claim(folder, number, holder)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_run_is_claimed_once_and_again_after_its_release(tmp_path: Path) -> None:
    first = try_claim(tmp_path)
    assert first is not None
    assert try_claim(tmp_path) is None
    first.release("done")
    second = try_claim(tmp_path)
    assert second is not None
    assert (first.number, second.number) == (1, 2)
    assert [claim.outcome for claim in all_claims(tmp_path)] == ["done", ""]


def test_a_released_claim_names_no_machine(tmp_path: Path) -> None:
    claim = try_claim(tmp_path)
    assert claim is not None
    claim.release("failed")
    assert json.loads((tmp_path / ".claim-1").read_text()) == {"outcome": "failed"}
    assert names_in(tmp_path) == [".claim-1"]


def test_of_many_threads_one_gets_the_claim(tmp_path: Path) -> None:
    start = threading.Barrier(16)
    claimed = []

    def claim() -> None:
        start.wait()
        claimed.append(try_claim(tmp_path))

    threads = [threading.Thread(target=claim) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(claim is not None for claim in claimed) == 1


@pytest.mark.parametrize(("age", "is_free"), [(0, False), (119, False), (121, True)])
def test_the_claim_of_another_machine_expires_after_two_minutes(tmp_path: Path, age: float, is_free: bool) -> None:
    of_another_machine(tmp_path, age=age)
    assert (active_claim(tmp_path) is None) == is_free
    assert (try_claim(tmp_path) is not None) == is_free


def test_the_claim_of_a_dead_process_of_this_machine_is_free_at_once(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    holder = claims._this_holder()._replace(process=ended.pid)
    (tmp_path / ".claim-1").write_text(json.dumps(holder._asdict()))
    claim = try_claim(tmp_path)
    assert claim is not None
    assert claim.number == 2


def test_a_process_with_the_number_of_a_dead_one_does_not_keep_its_claim(tmp_path: Path) -> None:
    holder = claims._this_holder()._replace(started="1")
    (tmp_path / ".claim-1").write_text(json.dumps(holder._asdict()))
    assert active_claim(tmp_path) is None


def test_an_expired_claim_that_is_renewed_late_is_not_current(tmp_path: Path) -> None:
    first = of_another_machine(tmp_path, age=500)
    assert first.is_current
    second = try_claim(tmp_path)
    assert second is not None
    assert not first.is_current
    for change in (lambda run: run.write("history.csv", b""), lambda run: run.discard("history.csv")):
        with pytest.raises(RunBusyError, match="another process has taken over"):
            change(RunFolder(tmp_path, claim=first))
    RunFolder(tmp_path, claim=second).write("history.csv", b"")


def test_a_claim_that_was_removed_or_replaced_is_not_current(tmp_path: Path) -> None:
    first = try_claim(tmp_path)
    assert first is not None
    claims.remove_claims(tmp_path)
    assert not first.is_current
    second = try_claim(tmp_path)
    assert second is not None
    assert second.number == first.number
    assert not first.is_current
    first.release("failed")
    assert second.is_current


def test_a_file_system_without_links_creates_the_claim_exclusively(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert try_claim(tmp_path) is not None
    assert try_claim(tmp_path) is None


def test_a_link_whose_answer_was_lost_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def lose_answer(source: Path, target: Path) -> None:
        link(source, target)
        raise OSError(5, "the server did not answer")

    monkeypatch.setattr(os, "link", lose_answer)
    claim = try_claim(tmp_path)
    assert claim is not None
    assert last_claim(tmp_path).holder == claim.holder


@pytest.mark.parametrize("content", [b'{"owner": "x", "ho', b"", b"[]", b"7", b'{"owner": "x"}', b"\xff"])
def test_a_claim_that_was_cut_off_or_edited_is_lost(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".claim-1").write_bytes(content)
    assert active_claim(tmp_path) is None
    assert all_claims(tmp_path)[0].outcome == "lost"


def test_a_lock_refuses_a_run_of_another_machine_and_names_it(tmp_path: Path) -> None:
    claim = of_another_machine(tmp_path, age=1)
    with pytest.raises(RunBusyError, match="process 5 of node7 is at this run"), RunFolder(tmp_path).lock(0):
        pytest.fail("locked")
    with RunFolder(tmp_path, claim=claim).lock(0):
        pass


def test_clear_keeps_claims_and_a_copy_has_none(tmp_path: Path) -> None:
    source, target = RunFolder(tmp_path / "a"), RunFolder(tmp_path / "b")
    with source.claimed() as folder:
        folder.write("run.json", b"{}")
        folder.write("history.csv", b"epoch")
    source.copy_to(target)
    source.clear(keep_resume=False)
    assert names_in(source.path) == [".claim-1"]
    assert names_in(target.path) == [".lock", "history.csv", "run.json"]


def test_attempts_count_since_the_run_last_ended(tmp_path: Path) -> None:
    outcomes = ["lost", "failed", "interrupted", "lost", "unused", "out of memory"]
    for number, outcome in enumerate(outcomes, start=1):
        (tmp_path / f".claim-{number}").write_text(json.dumps({"outcome": outcome}))
    attempts = read_attempts(RunFolder(tmp_path))
    assert (attempts.losses, attempts.is_out_of_memory) == (1, True)
    assert [line.partition(";")[0] for line in attempts.lines] == [
        "its worker was stopped",
        "its worker was lost",
        "out of memory",
    ]
    assert read_attempts(RunFolder(tmp_path), before=2).losses == 1
    of_another_machine(tmp_path, age=0)
    assert read_attempts(RunFolder(tmp_path)).is_out_of_memory, "while it is repeated, and where that is lost"
    (tmp_path / ".claim-7").write_text(json.dumps({"outcome": "out of memory"}))
    assert not read_attempts(RunFolder(tmp_path)).is_out_of_memory


@pytest.mark.parametrize("number", [37, 38, 95])
def test_a_file_system_without_locks_needs_none(number: int) -> None:
    class Lock:
        def acquire(self) -> None:
            raise OSError(number, "no locks")

    acquire_where_possible(Lock())


def test_the_folder_of_a_run_is_the_same_with_and_without_a_claim(tmp_path: Path) -> None:
    assert RunFolder(tmp_path) == replace(RunFolder(tmp_path), claim=try_claim(tmp_path))


@pytest.mark.parametrize("text", ["soon", "0", "-3", "inf", "nan"])
def test_an_age_that_is_no_positive_number_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(claims.EXPIRY_VARIABLE, text)
    with pytest.raises(UsageError, match=f"BENCHBENCH_CLAIM_SECONDS: found '{text}', expected a positive number"):
        claims.expiry_seconds()
