"""A disk that is full, a folder that is read-only, a path that cannot be: one line and exit code 5."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from carry import carry
from commands import benchbench
from storage import fill_disk, make_read_only
from toy_benchmark import Finished

from benchbench.errors import StorageError, storage_error
from benchbench.records.folder import ResultsFolder

pytestmark = pytest.mark.usefixtures("without_figures")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free disk space or choose another folder"),
        (errno.EDQUOT, "free disk space or choose another folder"),
        (errno.EROFS, "make it writable or choose another folder"),
        (errno.EACCES, "make it writable or choose another folder"),
        (errno.ENOTDIR, "a part of this path is no folder"),
        (errno.EIO, "check the disk or the network mount"),
    ],
)
def test_an_error_of_the_system_is_a_line_with_path_cause_and_remedy(number: int, remedy: str) -> None:
    failure = storage_error(OSError(number, os.strerror(number)), Path("results/file"))
    assert str(failure).startswith(f"results/file: {os.strerror(number)}; {remedy}")
    assert failure.exit_code == 5
    named = storage_error(OSError(number, os.strerror(number), "cache/other"), Path("results/file"))
    assert str(named).startswith("cache/other: ")


def squares_command(copy: Finished, *more: object) -> tuple[object, ...]:
    return ("run", copy.file, "--data-root", copy.data, "--jobs", 0, "--no-pictures", *more)


def assert_one_line(stderr: str, path: Path | str) -> None:
    (line,) = stderr.splitlines()
    assert line.startswith(f"error: {path}"), line
    assert "Traceback" not in stderr
    assert not re.search(r"\.[0-9a-f]{32}", line), "a temporary name means nothing to a user"


@pytest.mark.parametrize(
    "words",
    [
        ("run", "{file}", "--data-root", "{data}", "--jobs", "0", "--results", "{bad}"),
        (
            "run",
            "{file}",
            "--data-root",
            "{data}",
            "--jobs",
            "0",
            "--cache",
            "{bad}",
            "--set",
            "protocol.patch=[64, 64]",
        ),
        ("run", "{file}", "--rehearse", "--jobs", "0", "--cache", "{bad}"),
        ("merge", "{folder}", "--into", "{bad}"),
        ("data", "phantom", "squares", "{bad}"),
    ],
)
def test_a_path_through_a_file_is_one_line(finished: Finished, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("no folder")
    places = {
        "file": finished.file,
        "data": finished.data,
        "folder": finished.folder.path,
        "bad": tmp_path / "file" / "x",
    }
    done = benchbench(*(word.format(**places) for word in words), cwd=tmp_path)
    assert done.returncode == 5
    assert_one_line(done.stderr, tmp_path / "file")
    assert "a part of this path is no folder" in done.stderr


@pytest.mark.parametrize("number", [errno.EROFS, pytest.param(errno.EACCES, marks=pytest.mark.slow)])
def test_a_finished_benchmark_can_be_read_and_repeated_with_a_read_only_cache(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    copy = finished.copy(tmp_path)
    make_read_only(monkeypatch, copy.cache, number)
    done = benchbench(*squares_command(copy), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 runs to do, 2 already done" in done.stdout
    done = benchbench("data", "status", "squares", "--fingerprint", "--data-root", copy.data, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"fingerprint [0-9a-f]{64}", done.stdout)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_read_only_cache_that_lacks_cases_is_one_line(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    copy = finished.copy(tmp_path)
    make_read_only(monkeypatch, copy.cache, number)
    done = benchbench(*squares_command(copy, "--set", "protocol.patch=[64, 64]"), cwd=tmp_path)
    assert done.returncode == 5
    assert_one_line(done.stderr, copy.cache / "prepared")


@pytest.mark.parametrize("words", [("run",), ("report",), ("merge",)])
def test_read_only_results_are_one_line(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    copy = finished.copy(tmp_path)
    make_read_only(monkeypatch, copy.results)
    commands = {
        "run": squares_command(copy),
        "report": ("report", copy.folder.path),
        "merge": ("merge", finished.folder.path, "--into", copy.folder.path),
    }
    done = benchbench(*commands[words[0]], cwd=tmp_path)
    assert done.returncode == 5
    place = "results" if words[0] == "run" else copy.folder.path  # as the command names it
    assert_one_line(done.stderr, f"{place}: ")


@pytest.mark.parametrize("after", [0, pytest.param(1, marks=pytest.mark.slow), 10])
def test_a_full_disk_is_one_line_and_the_next_command_gives_the_same_files(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    copy = finished.copy(tmp_path)
    before = {path: path.read_bytes() for path in copy.folder.path.glob("*.csv")}
    with monkeypatch.context() as patch:
        fill_disk(patch, after=after)
        done = benchbench("report", copy.folder.path, cwd=tmp_path)
    assert done.returncode == 5
    assert_one_line(done.stderr, copy.folder.path)
    assert "No space left on device; free disk space" in done.stderr
    assert benchbench("report", copy.folder.path, cwd=tmp_path).returncode == 0
    assert {path: path.read_bytes() for path in copy.folder.path.glob("*.csv")} == before


def test_the_first_failure_is_reported_although_the_tables_fail_too(
    benchmark_file: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launch(*_: object) -> None:
        raise StorageError("the first failure")

    def fail(*_: object) -> None:
        raise StorageError("the second failure")

    monkeypatch.setattr("benchbench.launch.orchestrate._launcher", lambda *_: launch)
    monkeypatch.setattr("benchbench.launch.orchestrate.write_tables", fail)
    with pytest.raises(StorageError, match="the first failure"):
        carry(benchmark_file, squares, tmp_path)


@pytest.mark.usefixtures("without_report")
def test_a_run_that_fails_for_a_full_disk_has_one_line_and_no_traceback(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "events.out")

    monkeypatch.setattr("benchbench.run.execute.run_model", fail)
    _, (record, *_), _ = carry(finished.file, finished.data, tmp_path, only=["fold=0"])
    assert record is not None
    assert record.status == "failed"
    assert record.reason.startswith("events.out: No space left on device; free disk space")
    assert "Traceback" not in "".join(capsys.readouterr())


def test_what_a_dead_process_left_in_the_results_is_removed_by_the_next(
    finished: Finished, tmp_path: Path
) -> None:
    copy = finished.copy(tmp_path)
    run = next(copy.folder.path.glob("runs/*/*/*/fold0_seed0"))
    temporary = "0123456789abcdef" * 2
    folders = [copy.results, copy.folder.path, copy.folder.path / "figures", copy.folder.path / "tables"]
    left = [folder / f".index.html.{temporary}" for folder in folders]
    left += [copy.folder.path / ".leaderboard.md.4711", run / f".run.json.{temporary}", run / "resume.pt"]
    left += [run / "previews" / f".best.png.{temporary}", run / ".claim-1", run / ".claim-2"]
    for path in left:
        path.write_text("half")
    assert benchbench(*squares_command(copy), cwd=tmp_path).returncode == 0
    assert [path for path in left if path.exists()] == []
    assert (run / "run.json").exists()


def test_the_files_of_a_run_that_another_process_carries_out_stay(finished: Finished, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path)
    run = copy.folder.run(copy.folder.read_manifest().runs[0].key)
    temporary = run.path / f".run.json.{'0' * 32}"
    temporary.write_text("half")
    with run.lock(0):
        run.remove_leftovers()
        assert temporary.exists()
    run.remove_leftovers()
    assert not temporary.exists()


def test_files_of_a_benchmark_are_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    from filelock import FileLock, Timeout

    folder = ResultsFolder(tmp_path)
    with folder.writing(), pytest.raises(Timeout):
        FileLock(tmp_path / ".lock", timeout=0).acquire()
