from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchbench.data.cache import Entry, entries, in_use, mark_used, removable, remove, using
from benchbench.data.phantom import phantom_root
from benchbench.registry.registry import discover
from benchbench.spec.benchmark_file import PhantomSize

HOUR = 3600.0


def prepared(cache: Path, key: str, *, age: float, size: int = 100, **described: str) -> Path:
    """An entry that was last used so many seconds ago."""
    folder = cache / "prepared" / key[:2] / key
    folder.mkdir(parents=True)
    (folder / "case.json").write_text(json.dumps(described))
    (folder / "any_name.npy").write_bytes(bytes(size))
    then = time.time() - age
    for path in (*folder.iterdir(), folder):
        os.utime(path, (then, then))
    return folder


def entry(name: str, *, used: float, size: int = 10) -> Entry:
    return Entry("prepared", Path(name), "", size, used)


def names(found: list[Entry]) -> list[str]:
    return [each.path.name for each in found]


def test_entries_are_cases_and_phantoms_with_what_they_tell_the_longest_unused_first(tmp_path: Path) -> None:
    prepared(tmp_path, "aa1", age=2 * HOUR, dataset="lgg")
    prepared(tmp_path, "aa2", age=3 * HOUR)
    root = phantom_root(discover(["toy"]).dataset("squares"), PhantomSize(patients=1, size=32), cache=tmp_path)
    found = entries(tmp_path)
    assert names(found) == ["aa2", "aa1", root.name]
    assert [each.kind for each in found] == ["prepared", "prepared", "phantom"]
    assert [each.dataset for each in found] == ["", "lgg", "squares"]
    assert found[0].size_bytes == 100 + len("{}")


def test_an_entry_that_is_being_written_or_was_left_half_written_is_unfinished(tmp_path: Path) -> None:
    half = prepared(tmp_path, "aa1", age=0)
    (half / "case.json").unlink()
    (tmp_path / "phantoms" / "bb1").mkdir(parents=True)
    assert [each.kind for each in entries(tmp_path)] == ["unfinished", "unfinished"]


def test_a_cache_that_is_not_there_has_no_entries(tmp_path: Path) -> None:
    assert entries(tmp_path / "nowhere") == []


def test_without_condition_all_can_go() -> None:
    found = [entry("new", used=9), entry("old", used=1)]
    assert names(removable(found, older_than_seconds=None, most_bytes=None, now=10)) == ["old", "new"]


def test_what_was_unused_for_longer_can_go() -> None:
    found = [entry("new", used=9), entry("old", used=1)]
    assert names(removable(found, older_than_seconds=5, most_bytes=None, now=10)) == ["old"]


def test_over_a_size_the_longest_unused_can_go_until_the_rest_fits() -> None:
    found = [entry(str(used), used=used) for used in (4, 1, 3, 2)]
    assert names(removable(found, older_than_seconds=None, most_bytes=25, now=10)) == ["1", "2"]
    assert names(removable(found, older_than_seconds=None, most_bytes=40, now=10)) == []
    assert names(removable(found, older_than_seconds=None, most_bytes=0, now=10)) == ["1", "2", "3", "4"]


def test_age_and_size_together_take_the_old_and_then_what_is_too_much() -> None:
    found = [entry(str(used), used=used) for used in (1, 2, 3, 4)]
    assert names(removable(found, older_than_seconds=8.5, most_bytes=25, now=10)) == ["1", "2"]
    assert names(removable(found, older_than_seconds=6.5, most_bytes=25, now=10)) == ["1", "2", "3"]


def test_what_was_used_within_the_hour_is_in_use(tmp_path: Path) -> None:
    new = prepared(tmp_path, "aa1", age=HOUR / 2)
    prepared(tmp_path, "aa2", age=2 * HOUR)
    assert in_use(entries(tmp_path), tmp_path, now=time.time()) == {new}


def test_what_was_used_since_a_running_benchmark_began_is_in_use_however_long_ago(tmp_path: Path) -> None:
    mine = prepared(tmp_path, "aa1", age=2 * HOUR)
    before = prepared(tmp_path, "aa2", age=9 * HOUR)
    with using(tmp_path):
        (lock,) = (tmp_path / "running").iterdir()
        began = time.time() - 3 * HOUR
        held = lock.rename(lock.with_name(f"{began:.0f}-{lock.name}"))
        for _ in range(2):  # looking does not change the answer
            assert in_use(entries(tmp_path), tmp_path, now=time.time()) == {mine}
        held.rename(lock)
    assert in_use(entries(tmp_path), tmp_path, now=time.time()) == set()
    assert before.exists()


def test_a_benchmark_that_was_killed_keeps_nothing_in_use(tmp_path: Path) -> None:
    prepared(tmp_path, "aa1", age=2 * HOUR)
    script = (
        "import os, sys; from pathlib import Path; from benchbench.data.cache import using\n"
        "with using(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == -9
    (lock,) = (tmp_path / "running").iterdir()
    lock.rename(lock.with_name(f"0-{lock.name}"))
    assert in_use(entries(tmp_path), tmp_path, now=time.time()) == set()
    assert list((tmp_path / "running").iterdir()) == []


def test_an_entry_that_is_used_again_is_no_longer_old(tmp_path: Path) -> None:
    folder = prepared(tmp_path, "aa1", age=9 * HOUR)
    mark_used([folder, tmp_path / "gone"])
    assert time.time() - entries(tmp_path)[0].used < 60


def test_an_entry_goes_at_one_blow_and_a_second_time_without_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prepared(tmp_path, "aa1", age=0)
    (found,) = entries(tmp_path)
    seen: list[bool] = []
    monkeypatch.setattr("benchbench.data.cache.shutil.rmtree", lambda _: seen.append(folder.exists()))
    remove(found)
    assert seen == [False]
    monkeypatch.undo()
    remove(found)
    for left in entries(tmp_path):
        remove(left)
    assert entries(tmp_path) == []
