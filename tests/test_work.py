"""`benchbench work`: runs of a job file, carried out by several processes with folders of their own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from commands import benchbench
from toy_benchmark import Finished

from benchbench.launch.job_assignments import Shard, _connected, open_jobs
from benchbench.launch.job_data import Roots
from benchbench.launch.job_file import read_job_file, runs_of
from benchbench.launch.process import ProcessLauncher
from benchbench.launch.work_queue import Limits, WorkQueue
from benchbench.launch.worker_process import start_worker
from benchbench.plan.run import RunKey
from benchbench.records.claims import all_claims
from benchbench.records.folder import ResultsFolder
from benchbench.records.run_folder import RunBusyError, RunFolder
from benchbench.run.assignment import Assignment

pytestmark = pytest.mark.usefixtures("without_figures")


def comparable(folder: Path) -> dict[str, bytes]:
    """Return the tables and the files of runs that measure no time."""
    files: dict[str, bytes] = {}
    for path in folder.rglob("*"):
        is_table = path.suffix in {".parquet", ".safetensors", ".md", ".csv", ".tex"}
        if is_table and "cost" not in path.name and path.name != "history.csv" and "costs" not in path.name:
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return files


def plan(pair: Finished, root: Path, name: str) -> ResultsFolder:
    """Plan the benchmark of `finished_pair` in a folder without runs, with a cache of its own."""
    words = ["plan", pair.file, "--write", "--data-root", pair.data, "--results", root / name]
    words += ["--set", "protocol.epochs=1", "--set", "models.plain_too.width=3", "--cache", root / f"cache-{name}"]
    done = benchbench(*words, cwd=root)
    assert done.returncode == 0, done.stderr
    return ResultsFolder(root / name / "squares")


def work(pair: Finished, root: Path, folder: ResultsFolder, *words: object) -> str:
    options = ["--until-empty", "--jobs", 0, "--data-root", pair.data, "--device", "cpu"]
    done = benchbench("work", folder.path, *options, *words, cwd=root)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_a_worker_with_another_cache_gives_the_bytes_of_a_run(finished_pair: Finished, tmp_path: Path) -> None:
    folder = plan(finished_pair, tmp_path, "planned")
    text = work(finished_pair, tmp_path, folder, "--cache", tmp_path / "other")
    assert "6 of 6 runs are done" in text
    assert benchbench("report", folder.path, cwd=tmp_path).returncode == 0
    expected = comparable(finished_pair.folder.path)
    assert comparable(folder.path) == expected
    assert len(expected) > 20


@pytest.mark.slow
def test_shards_and_merge_give_the_bytes_of_a_run(finished_pair: Finished, tmp_path: Path) -> None:
    folders = [plan(finished_pair, tmp_path, f"laptop{number}") for number in range(2)]
    files = [(folder.path / "jobs.json").read_bytes() for folder in folders]
    assert files[0] == files[1]
    assert str(tmp_path).encode() not in files[0]
    for number, folder in enumerate(folders):
        text = work(
            finished_pair, tmp_path, folder, "--shard", f"{number}/2", "--scratch", tmp_path / f"s{number}"
        )
        assert "3 of 3 runs are done" in text
    merged = tmp_path / "merged"
    done = benchbench("merge", *[folder.path for folder in folders], "--into", merged, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert comparable(merged) == comparable(finished_pair.folder.path)


def test_a_worker_carries_out_only_as_many_runs_as_it_is_asked_for(
    finished_pair: Finished, tmp_path: Path
) -> None:
    folder = plan(finished_pair, tmp_path, "planned")
    words = ["work", folder.path, "--most-runs", 1, "--jobs", 0, "--cache", tmp_path / "cache-planned"]
    assert benchbench(*words, cwd=tmp_path).returncode == 1
    table = benchbench("status", folder.path, cwd=tmp_path).stdout
    assert "6 runs: 5 to do, 1 done" in table
    waiting = folder.path / "runs/squares/plain/default/fold1_seed0"
    waiting.mkdir(parents=True, exist_ok=True)
    holder = {"owner": "x", "host": "node7", "process": 5, "started": "1", "system": "other"}
    (waiting / ".claim-1").write_text(json.dumps(holder))
    table = benchbench("status", folder.path, cwd=tmp_path).stdout
    assert "node7, process 5" in table
    assert "1 running" in table


def test_a_run_whose_process_was_killed_is_given_once_more_and_its_ensemble_waits(
    finished_pair: Finished, tmp_path: Path
) -> None:
    folder = plan(finished_pair, tmp_path, "planned")
    roots = Roots(cache=tmp_path / "cache-planned", data_root=None)
    assignments = open_jobs(folder, roots, shard=Shard(), device="cpu")
    chosen = [assignment for assignment in assignments if assignment.key.fold == 0]
    reported: list[RunKey] = []
    queues = [WorkQueue(chosen, lambda key, _: reported.append(key), Limits(wait_seconds=0)) for _ in range(2)]

    def take_and_end(queue: WorkQueue, reason: str) -> str:
        assignment = queue.take()
        assert assignment is not None
        killed = assignment.record(status="failed", reason=reason, provenance={}, seconds=0.0)
        assignment.folder.write_record(killed)
        queue.finish(assignment)
        return assignment.key.model

    killed = "the worker process was killed by signal 9 (SIGKILL)"
    assert take_and_end(queues[0], killed) == "plain"
    assert take_and_end(queues[1], killed) == "plain", "it is repeated by whichever worker is free"
    assert take_and_end(queues[0], "ValueError: no") == "plain_too", "a second time, it has failed"
    assert take_and_end(queues[1], "ValueError: no") == "both"
    assert [queue.take() for queue in queues] == [None, None]
    assert len(all_claims(chosen[0].folder.path)) == 2
    assert reported == []


def test_a_run_is_done_by_a_record_of_its_settings_files_and_split_alone(finished_pair: Finished) -> None:
    roots = Roots(cache=finished_pair.cache, data_root=finished_pair.data)
    for assignment in open_jobs(finished_pair.folder, roots, shard=Shard(), device="cpu"):
        record = assignment.folder.read_record()
        assert record is not None
        assert assignment.is_done_by(record)
        for name in ("digest", "data_digest", "split_digest"):
            assert not assignment.is_done_by(replace(record, **{name: "0" * 64})), name


def test_claims_of_runs_that_could_not_be_stopped_are_released(finished_pair: Finished, tmp_path: Path) -> None:
    folder = plan(finished_pair, tmp_path, "planned")
    roots = Roots(cache=tmp_path / "cache-planned", data_root=None)
    queue = WorkQueue(open_jobs(folder, roots, shard=Shard(), device="cpu"), lambda *_: None)
    assignment = queue.take()
    assert assignment is not None
    queue.release_all()
    (claim,) = all_claims(assignment.folder.path)
    assert (claim.holder, claim.outcome) == (None, "interrupted")
    with pytest.raises(RunBusyError, match="another process has taken over"):
        assignment.folder.write("late.csv", b"")
    queue.finish(assignment)
    assert len(all_claims(assignment.folder.path)) == 1


@pytest.mark.parametrize(("most", "status"), [(0, "failed"), (1, "done")])
def test_a_run_whose_worker_alone_is_stopped_is_continued_and_not_failed(
    finished_pair: Finished, tmp_path: Path, most: int, status: str
) -> None:
    folder = plan(finished_pair, tmp_path, "planned")
    roots = Roots(cache=tmp_path / "cache-planned", data_root=None)
    (chosen,) = [
        assignment
        for assignment in open_jobs(folder, roots, shard=Shard(), device="cpu")
        if (assignment.key.model, assignment.key.fold) == ("plain", 0)
    ]
    started: list[Any] = []
    remarks: list[str] = []

    def start(assignment: Assignment) -> Any:
        started.append(start_worker(assignment))
        if len(started) == 1:
            started[0].terminate()
        return started[-1]

    def listen(_: RunKey, event: Any) -> None:
        remarks.append(getattr(event, "remark", ""))

    with (
        mock.patch("benchbench.launch.process.start_worker", start),
        mock.patch("benchbench.launch.process._SIGNAL_SECONDS", 0.0),
    ):
        queue = WorkQueue([chosen], listen, Limits(wait_seconds=0, most_losses=most))
        ProcessLauncher(slots=(("cpu",),), threads=1).serve(queue, listen)
    record = chosen.folder.read_record()
    assert record is not None
    assert record.status == status
    assert any("SIGTERM" in remark and "the run continues" in remark for remark in remarks)
    if status == "done":
        assert list(record.retries) == ["its worker was lost; the run was repeated"]


@pytest.mark.parametrize(("most", "status"), [(1, "failed"), (2, "done")])
def test_a_run_whose_workers_were_lost_too_often_has_failed(
    finished_pair: Finished, tmp_path: Path, most: int, status: str
) -> None:
    folder = plan(finished_pair, tmp_path, "planned")
    lost = RunFolder(folder.path / "runs/squares/plain/default/fold0_seed0")
    lost.path.mkdir(parents=True)
    for number in (1, 2):
        (lost.path / f".claim-{number}").write_text(json.dumps({"outcome": "lost"}))
    words = ["--most-losses", most, "--most-runs", 1, "--jobs", 0, "--cache", tmp_path / "cache-planned"]
    assert benchbench("work", folder.path, *words, cwd=tmp_path).returncode == 1  # other runs are not done
    record = lost.read_record()
    assert record is not None
    assert record.status == status
    if status == "failed":
        assert record.reason == "its worker was lost 2 times: see worker.log and the log of the machine"
    else:
        assert list(record.retries) == ["its worker was lost; the run was repeated (2 times)"]


def test_a_model_with_another_source_is_refused_with_both_digests(
    finished_pair: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plan(finished_pair, tmp_path, "planned")
    planned = read_job_file(folder).jobs[0].model.source_digest[:12]
    monkeypatch.setattr("benchbench.launch.job_assignments.source_digest", lambda *_, **__: "f" * 64)
    done = benchbench("work", folder.path, "--until-empty", "--jobs", 0, cwd=tmp_path)
    assert done.returncode == 2
    assert f"source {'f' * 12} is installed here, but the plan was made with {planned}" in done.stderr


def test_a_dataset_with_other_bytes_is_refused_with_both_digests(finished_pair: Finished, tmp_path: Path) -> None:
    folder = plan(finished_pair, tmp_path, "planned")
    data = tmp_path / "data"
    shutil.copytree(finished_pair.data, data)
    first = data / "squares" / "patient00-a.npz"
    first.write_bytes(first.read_bytes() + b"x")
    planned = next(case.digest for case in read_job_file(folder).data[0].cases if case.id == "patient00-a")
    words = ["work", folder.path, "--until-empty", "--jobs", 0, "--cache", tmp_path / "new", "--data-root", data]
    done = benchbench(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "squares: patient00-a: files " in done.stderr
    assert f"but {planned[:12]} in the plan" in done.stderr


def test_an_edited_job_file_is_refused(finished_pair: Finished, tmp_path: Path) -> None:
    folder = plan(finished_pair, tmp_path, "planned")
    path = folder.path / "jobs.json"
    path.write_text(path.read_text().replace('"epochs": 1', '"epochs": 2'))
    done = benchbench("work", folder.path, "--until-empty", "--jobs", 0, cwd=tmp_path)
    assert done.returncode == 4
    assert "the file was edited: plan again" in done.stderr


def test_runs_that_need_each_other_are_in_one_shard(finished_pair: Finished, tmp_path: Path) -> None:
    folder = plan(finished_pair, tmp_path, "planned")
    runs = runs_of(read_job_file(folder), folder)
    groups = _connected(runs)
    by_fold: dict[int, set[int]] = {}
    for run, group in zip(runs, groups, strict=True):
        by_fold.setdefault(run.fold, set()).add(group)
    assert [len(names) for names in by_fold.values()] == [1, 1]
    assert len(set(groups)) == 2


@pytest.mark.parametrize("shard", ["2/2", "x/2", "1", "-1/2"])
def test_a_shard_that_does_not_exist_is_refused(tmp_path: Path, shard: str) -> None:
    done = benchbench("work", tmp_path, "--shard", shard, cwd=tmp_path)
    assert done.returncode == 2
    assert "expected I/N with I from 0 to N - 1" in done.stderr


def test_a_folder_without_a_plan_is_refused(tmp_path: Path) -> None:
    done = benchbench("work", tmp_path, "--until-empty", cwd=tmp_path)
    assert done.returncode == 2
    assert "no jobs.json here or in its folders" in done.stderr
