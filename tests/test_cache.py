from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

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


def names(listed: list[Entry]) -> list[str]:
    return [item.path.name for item in listed]


def test_entries_are_listed_with_the_least_recently_used_first(tmp_path: Path) -> None:
    prepared(tmp_path, "aa1", age=2 * HOUR, dataset="lgg")
    prepared(tmp_path, "aa2", age=3 * HOUR)
    root = phantom_root(discover(["toy"]).dataset("squares"), PhantomSize(patients=1, size=32), cache=tmp_path)
    listed = entries(tmp_path)
    assert names(listed) == ["aa2", "aa1", root.name]
    assert [item.kind for item in listed] == ["prepared", "prepared", "phantom"]
    assert [item.dataset for item in listed] == ["", "lgg", "squares"]
    assert listed[0].size_bytes == 100 + len("{}")


def test_an_incomplete_itemis_unfinished(tmp_path: Path) -> None:
    half = prepared(tmp_path, "aa1", age=0)
    (half / "case.json").unlink()
    (tmp_path / "phantoms" / "bb1").mkdir(parents=True)
    assert [item.kind for item in entries(tmp_path)] == ["unfinished", "unfinished"]


def test_a_missing_cache_has_no_entries(tmp_path: Path) -> None:
    assert entries(tmp_path / "nowhere") == []


def test_without_a_condition_all_entries_are_removed() -> None:
    listed = [entry("new", used=9), entry("old", used=1)]
    assert names(removable(listed, older_than_seconds=None, most_bytes=None, now=10)) == ["old", "new"]


def test_entries_unused_for_longer_than_the_limit_are_removed() -> None:
    listed = [entry("new", used=9), entry("old", used=1)]
    assert names(removable(listed, older_than_seconds=5, most_bytes=None, now=10)) == ["old"]


def test_the_least_recently_used_entries_are_removed_until_the_others_fit() -> None:
    listed = [entry(str(used), used=used) for used in (4, 1, 3, 2)]
    assert names(removable(listed, older_than_seconds=None, most_bytes=25, now=10)) == ["1", "2"]
    assert names(removable(listed, older_than_seconds=None, most_bytes=40, now=10)) == []
    assert names(removable(listed, older_than_seconds=None, most_bytes=0, now=10)) == ["1", "2", "3", "4"]


def test_age_and_size_limits_can_be_combined() -> None:
    listed = [entry(str(used), used=used) for used in (1, 2, 3, 4)]
    assert names(removable(listed, older_than_seconds=8.5, most_bytes=25, now=10)) == ["1", "2"]
    assert names(removable(listed, older_than_seconds=6.5, most_bytes=25, now=10)) == ["1", "2", "3"]


def test_entries_used_within_the_hour_are_in_use(tmp_path: Path) -> None:
    new = prepared(tmp_path, "aa1", age=HOUR / 2)
    prepared(tmp_path, "aa2", age=2 * HOUR)
    assert in_use(entries(tmp_path), tmp_path, now=time.time()) == {new}


def test_entries_used_since_a_running_benchmark_began_are_in_use(tmp_path: Path) -> None:
    mine = prepared(tmp_path, "aa1", age=2 * HOUR)
    before = prepared(tmp_path, "aa2", age=9 * HOUR)
    with using(tmp_path):
        (lock,) = (tmp_path / "running").iterdir()
        began = time.time() - 3 * HOUR
        renamed = lock.rename(lock.with_name(f"{began:.0f}-{lock.name}"))
        for _ in range(2):  # looking does not change the answer
            assert in_use(entries(tmp_path), tmp_path, now=time.time()) == {mine}
        renamed.rename(lock)
    assert in_use(entries(tmp_path), tmp_path, now=time.time()) == set()
    assert before.exists()


def test_a_killed_benchmark_keeps_nothing_in_use(tmp_path: Path) -> None:
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


LEFTOVERS = (
    "prepared/aa/.aa1.{uuid}",
    "prepared/aa/.aa1.4711",
    "prepared/aa/.removed.{uuid}",
    "phantoms/bb1/.lgg.{uuid}",
    "phantoms/bb1/.lgg.4711",
    "fingerprints/.cc.json.{uuid}",
)


def leave(cache: Path) -> list[Path]:
    """Write what processes that died leave unfinished, and return the paths."""
    left = [cache / name.format(uuid=uuid4().hex) for name in LEFTOVERS]
    for path in left:
        if path.parent.name == "fingerprints":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("half")
        else:
            path.mkdir(parents=True)
            (path / "image.npy").write_text("half")
    return left


def test_what_dead_processes_left_unfinished_is_removed_by_the_next(tmp_path: Path) -> None:
    whole = prepared(tmp_path, "aa1", age=0)
    left = leave(tmp_path)
    time.sleep(0.01)  # the clock of a file system is coarser than that of a process
    with using(tmp_path):
        assert [path for path in left if path.exists()] == []
    assert whole.exists()
    assert list((tmp_path / "running").iterdir()) == []


def test_what_a_living_process_has_not_finished_stays(tmp_path: Path) -> None:
    with using(tmp_path):
        left = leave(tmp_path)
        with using(tmp_path):
            assert [path for path in left if not path.exists()] == []


def test_a_cache_that_cannot_be_written_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with using(tmp_path):
        mark_used([tmp_path])
    assert list(tmp_path.iterdir()) == []


def test_marking_an_itemas_used_renews_its_time(tmp_path: Path) -> None:
    folder = prepared(tmp_path, "aa1", age=9 * HOUR)
    mark_used([folder, tmp_path / "gone"])
    assert time.time() - entries(tmp_path)[0].used < 60


def test_an_itemis_removed_at_once_and_removing_it_again_is_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prepared(tmp_path, "aa1", age=0)
    (listed,) = entries(tmp_path)
    seen: list[bool] = []
    monkeypatch.setattr("benchbench.data.atomic.shutil.rmtree", lambda *_, **__: seen.append(folder.exists()))
    remove(listed)
    assert seen == [False]
    monkeypatch.undo()
    remove(listed)
    for left in entries(tmp_path):
        remove(left)
    assert entries(tmp_path) == []
