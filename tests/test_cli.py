"""Tests of the command line: output, exit codes, one-line errors, interrupted and killed processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from commands import benchbench
from toy_benchmark import Finished

from benchbench.errors import DataError

pytestmark = pytest.mark.usefixtures("without_figures")


def start(*words: object, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "BENCHBENCH_CACHE": str(cwd / "cache"), **variables}
    command = [sys.executable, "-m", "benchbench", *map(str, words)]
    # background jobs of a shell ignore SIGINT, and so would the processes that they start
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def one_line(text: str) -> bool:
    return len(text.strip().splitlines()) == 1 and "Traceback" not in text


def test_a_run_prints_the_per_fold_table_and_ends_with_0(finished: Finished) -> None:
    assert "\x1b" not in finished.output
    assert "squares/plain/default/fold1/seed0: epoch 2 of 2, loss" in finished.output
    table = pd.read_csv(finished.results / "squares" / "folds.csv")
    for dice in table["dice"]:
        assert f"{dice:.4f}" in finished.output


def test_a_plan_says_what_is_done_and_what_is_to_do(finished: Finished) -> None:
    planned = json.loads(benchbench("plan", finished.file, "--format", "json", cwd=finished.root).stdout)
    assert [run["state"] for run in planned["runs"]] == ["done", "done"]
    options = (
        "--data-root",
        finished.data,
        "--jobs",
        0,
        "--device",
        "cpu",
        "--no-pictures",
        "--cache",
        finished.cache,
    )
    of_run = benchbench("plan", finished.file, "--format", "json", *options, cwd=finished.root)
    assert json.loads(of_run.stdout) == planned
    changed = benchbench("plan", finished.file, "--set", "protocol.epochs=9", cwd=finished.root)
    assert "2 runs, 2 to do" in changed.stdout
    assert "sizes of the parts of squares: known after a run, or with --data-root" in changed.stdout


def test_a_plan_has_the_sizes_of_the_parts_of_finished_runs_and_of_new_ones(finished: Finished) -> None:
    planned = json.loads(benchbench("plan", finished.file, "--format", "json", cwd=finished.root).stdout)
    sizes = pd.read_csv(finished.folder.path / "split_sizes.csv")
    assert planned["splits"] == sizes.drop(columns="data").to_dict("records")
    # two of four patients are tested in each fold, one trains and one validates; each has a case of three slices
    assert [
        (row["fold"], row["part"], row["patients"], row["cases"], row["slices"]) for row in planned["splits"]
    ] == [
        *((0, "train", 1, 1, 3), (0, "validation", 1, 1, 3), (0, "test", 2, 2, 6)),
        *((1, "train", 1, 1, 3), (1, "validation", 1, 1, 3), (1, "test", 2, 2, 6)),
    ]
    options = ("--data-root", finished.data, "--set", "protocol.folds=1", "--set", "protocol.test=0.25")
    new = json.loads(benchbench("plan", finished.file, "--format", "json", *options, cwd=finished.root).stdout)
    assert [(row["part"], row["patients"], row["slices"]) for row in new["splits"]] == [
        *(("train", 2, 6), ("validation", 1, 3), ("test", 1, 3))
    ]
    text = benchbench("plan", finished.file, *options, cwd=finished.root).stdout
    assert "2 / 1 / 1  6 / 3 / 3" in text
    missing = benchbench("plan", finished.file, *options[2:], "--data-root", finished.cache, cwd=finished.root)
    assert "sizes of the parts of squares: not known: squares: no folder" in missing.stdout
    assert missing.returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["run", "FILE"],
            3,
            "no data root given: use --data-root DIR or set BENCHBENCH_DATA; get 'squares' from https://",
        ),
        (["run", "FILE", "--data-root", "nowhere"], 3, "squares: no folder nowhere/squares; get 'squares' from"),
        (["run", "nofile.toml"], 2, "nofile.toml: No such file or directory"),
        (
            ["run", "FILE", "--set", "models.plain.width=wide"],
            2,
            "models.plain.width: input should be a valid integer, found 'wide'",
        ),
        (["run", "FILE", "--set", "models.plain.wdith=2"], 2, "no such parameter; did you mean 'width'?"),
        (["plan", "FILE", "--only", "flod=1"], 2, "--only flod=1: write key=value; did you mean 'fold'?"),
        (["plan", "FILE", "--only", "fold=7"], 2, "no run has fold '7'"),
        (
            ["run", "FILE", "--device", "cuda:7", "--rehearse"],
            2,
            "--device cuda:7: not found; this machine has cpu",
        ),
        (["show", "plian"], 2, "no dataset or model plugin 'plian' is installed; did you mean 'plain'?"),
        (["scroe", "a", "b"], 2, "Error: no such command 'scroe'; did you mean 'score'?"),
        (["data", "verfy", "lgg"], 2, "Error: no such command 'verfy'; did you mean 'verify'?"),
        (["data", "cache", "list"], 2, "Error: no such command 'list'; did you mean 'ls'?"),
        (["report", "empty"], 2, "empty: no benchmark.json here"),
    ],
)
def test_a_user_error_is_one_line_and_an_exit_code(
    benchmark_file: Path, words: list[str], code: int, message: str
) -> None:
    named = [str(benchmark_file) if word == "FILE" else word for word in words]
    done = benchbench(*named, cwd=benchmark_file.parent, BENCHBENCH_DATA="")
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert one_line(done.stderr.partition("Error: ")[2] or done.stderr)


def second(benchmark_file: Path, name: str, *, old: str = "", new: str = "") -> Path:
    """Write the same benchmark under another name, with one text replaced, and return the file."""
    text = benchmark_file.read_text()
    assert old in text
    path = benchmark_file.with_name(f"{name}.toml")
    path.write_text(text.replace(old, new) if old else text)
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("card_only")
def test_several_benchmarks_run_in_order_and_end_with_one_line_for_each(
    benchmark_file: Path, squares: Path
) -> None:
    more = second(benchmark_file, "more")
    words = ["--data-root", squares, "--set", "protocol.epochs=1", "--only", "fold=1", "--jobs", 0]
    done = benchbench("run", more, benchmark_file, *words, cwd=benchmark_file.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["more: the run is done", "squares: the run is done"]
    for name in ("more", "squares"):
        table = pd.read_csv(benchmark_file.parent / "results" / name / "folds.csv")
        assert list(table["status"]) == ["not run", "done"]


def test_problems_of_all_files_are_reported_before_the_first_run(benchmark_file: Path, squares: Path) -> None:
    folder = benchmark_file.parent
    wrong = second(benchmark_file, "wrong", old="batch", new="bacth")
    words = ["run", benchmark_file, wrong, "nofile.toml", "--data-root", squares]
    done = benchbench(*words, cwd=folder)
    assert done.returncode == 2
    assert "wrong.toml:12: protocol.bacth: no such key; did you mean 'batch'?" in done.stderr
    assert "nofile.toml: No such file or directory" in done.stderr
    assert not (folder / "results").exists()


@pytest.mark.usefixtures("card_only")
def test_a_benchmark_that_cannot_be_carried_out_is_reported_and_the_others_continue(
    benchmark_file: Path, squares: Path
) -> None:
    folder = benchmark_file.parent
    few = second(benchmark_file, "few", old="folds = 2", new="folds = 5")
    explodes = second(benchmark_file, "explodes", old='"plain"', new='"plain"\nexplode = "raise"')
    words = ["--data-root", squares, "--set", "protocol.epochs=1", "--only", "fold=0", "--jobs", 0]
    done = benchbench("run", few, explodes, benchmark_file, *words, cwd=folder)
    assert done.returncode == 3, done.stderr
    assert "error: few: " in done.stderr
    lines = done.stdout.splitlines()[-3:]
    assert lines[0].startswith("few: not carried out: ")
    assert lines[1] == "explodes: 1 of 1 run is not done; the table above gives the reasons"
    assert lines[2] == "squares: the run is done"
    assert benchbench("run", explodes, benchmark_file, *words, cwd=folder).returncode == 1


@pytest.mark.slow
@pytest.mark.usefixtures("card_only")
def test_a_selection_may_skip_benchmarks_but_not_all(benchmark_file: Path, squares: Path) -> None:
    folder = benchmark_file.parent
    variant = '[[variants]]\nlabel = "odd"\nset = { "protocol.batch" = 3 }\n[protocol]'
    other = second(benchmark_file, "other", old="[protocol]", new=variant)
    words = ["run", benchmark_file, other, "--data-root", squares, "--set", "protocol.epochs=1", "--jobs", 0]
    done = benchbench(*words, "--only", "variant=odd,fold=0", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"{benchmark_file}: skipped, because --only variant=odd,fold=0 selects none of its runs" in done.stderr
    assert not (folder / "results" / "squares").exists()
    assert done.stdout.splitlines()[-1] == "other: the run is done"
    done = benchbench(*words, "--only", "fold=7", cwd=folder)
    assert done.returncode == 2
    assert "--only fold=7: no run has fold '7'; known: 0, 1" in done.stderr
    assert one_line(done.stderr)


def test_two_files_with_the_same_results_folder_are_refused(benchmark_file: Path) -> None:
    done = benchbench("run", benchmark_file, benchmark_file, "--rehearse", cwd=benchmark_file.parent)
    assert done.returncode == 2
    assert "its results are named 'squares', as are those of" in done.stderr
    assert one_line(done.stderr)


def test_an_unknown_model_and_an_unknown_key_are_both_reported(benchmark_file: Path) -> None:
    text = benchmark_file.read_text().replace('"plain"', '"plane"').replace("batch = 4", "batch = 4\nfold = 5")
    benchmark_file.write_text(text)
    done = benchbench("plan", benchmark_file, cwd=benchmark_file.parent)
    assert done.returncode == 2
    assert re.search(
        r"squares.toml:6: models[.]\w+: no model plugin 'plane' is installed; did you mean 'plain'", done.stderr
    )
    assert "squares.toml:13: protocol.fold: no such key; did you mean 'folds'?" in done.stderr


def test_debug_lets_the_failure_reach_python_which_prints_the_traceback(benchmark_file: Path) -> None:
    with pytest.raises(DataError, match="no data root given"):
        benchbench("--debug", "run", benchmark_file, cwd=benchmark_file.parent, BENCHBENCH_DATA="")


def test_a_3d_model_under_a_2d_protocol_is_refused(benchmark_file: Path) -> None:
    benchmark_file.write_text(benchmark_file.read_text().replace('"plain"', '"solid"'))
    done = benchbench("plan", benchmark_file, cwd=benchmark_file.parent)
    assert done.returncode == 2
    assert "protocol.ndim: found 2, but model 'solid' is 3D" in done.stderr


def test_list_show_status_and_doctor_name_the_plugins(tmp_path: Path, squares: Path) -> None:
    listed = json.loads(benchbench("list", "--format", "json", cwd=tmp_path).stdout)
    assert {"plain", "wrong"} <= {model["name"] for model in listed["models"]}
    assert {dataset["name"] for dataset in listed["datasets"]} >= {"squares"}
    output = benchbench("show", "plain", cwd=tmp_path).stdout
    assert "width: int = 4" in output
    status = benchbench("data", "status", "--data-root", squares, cwd=tmp_path).stdout
    assert "squares: present: 4 cases of 4 patients" in status
    doctor = benchbench("doctor", cwd=tmp_path)
    assert doctor.returncode == 0, doctor.stdout
    assert "plain" in doctor.stdout


def test_phantom_data_can_be_written_and_used(benchmark_file: Path) -> None:
    folder = benchmark_file.parent
    done = benchbench("data", "phantom", "squares", "made", "--patients", 4, "--size", 32, cwd=folder)
    assert done.returncode == 0, done.stderr
    again = benchbench("data", "phantom", "squares", "made", cwd=folder)
    assert again.returncode == 2
    assert "not empty" in again.stderr
    assert "phantom data: 4 cases" in benchbench("data", "status", "--data-root", "made", cwd=folder).stdout


def test_an_interrupted_command_ends_with_130_and_says_that_work_is_kept(
    benchmark_file: Path, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchbench.launch.orchestrate.carry_out", interrupt)
    done = benchbench("run", benchmark_file, "--data-root", squares, cwd=benchmark_file.parent)
    assert done.returncode == 130
    assert done.stderr.endswith("interrupted: finished work is kept; the same command continues from here\n")


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_leaves_everything_readable(benchmark_file: Path, squares: Path) -> None:
    folder = benchmark_file.parent
    process = start("run", benchmark_file, "--data-root", squares, "--set", "protocol.epochs=2000", cwd=folder)
    wait_for(folder / "results" / "squares" / "runs", "history.csv")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 130, output
    assert "interrupted" in output
    assert "Traceback" not in output
    assert pd.read_csv(folder / "results" / "squares" / "folds.csv")["status"].tolist() == ["not run", "not run"]
    history = next((folder / "results").rglob("history.csv"))
    assert len(pd.read_csv(history)) > 0
    assert "0 of 2 planned runs are done" in (folder / "results" / "squares" / "index.html").read_text()
    assert "0 of 2 runs" in (folder / "results" / "index.html").read_text()


def wait_for(folder: Path, name: str, seconds: float = 240.0) -> Path:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if paths := list(folder.rglob(name)):
            return paths[0]
        time.sleep(0.02)
    raise AssertionError(f"{name} did not appear")


def workers_of(folder: Path) -> list[int]:
    """Return the ids of worker processes that have a log in this folder open."""
    workers = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [str(link.readlink()) for link in (process / "fd").iterdir()]
        except OSError:
            continue
        is_ours = int(process.name) == os.getpid()  # which opens the log before it starts the worker
        if not is_ours and any(str(folder) in link and "worker.log" in link for link in links):
            workers.append(int(process.name))
    return workers


def kill(processes: list[int]) -> None:
    for process in processes:
        os.kill(process, signal.SIGKILL)


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finds processes through /proc")
MOMENTS = [
    "history.csv",
    pytest.param("worker.log", marks=pytest.mark.slow),
    pytest.param("run.json", marks=pytest.mark.slow),
]
"""Files whose appearance says that a run trains, that its worker starts, that it has ended."""
SLOWED = {"TOY_SECONDS_PER_STEP": "0.2"}
"""Environment in which a run takes long enough to be killed while it trains."""


class RunTwice:
    """A benchmark that is run with a process killed and run undisturbed; both must end with the same tables."""

    def __init__(self, file: Path, data: Path) -> None:
        self.words = ["run", file, "--data-root", data, "--set", "protocol.epochs=6", "--only", "fold=0"]
        self.folder = file.parent
        self.disturbed = file.parent / "disturbed"

    def run(self, results: str, *options: object, **variables: str) -> int:
        words = [*self.words, "--results", results, *options]
        return benchbench(*words, cwd=self.folder, **variables).returncode

    def assert_undisturbed_tables(self) -> None:
        assert self.run("undisturbed", "--jobs", 0) == 0
        names = ["folds.csv", "summary.csv", "leaderboard.md", "tables/1-dice-fold-by-model.md"]
        for name in names:
            undisturbed = (self.folder / "undisturbed" / "squares" / name).read_bytes()
            assert (self.disturbed / "squares" / name).read_bytes() == undisturbed, name


@pytest.fixture
def twice(benchmark_file: Path, squares: Path) -> RunTwice:
    return RunTwice(benchmark_file, squares)


@pytest.mark.slow
@needs_proc
@pytest.mark.usefixtures("card_only")
@pytest.mark.parametrize("moment", MOMENTS)
def test_after_kill_9_of_the_command_the_same_command_gives_the_tables_of_an_undisturbed_run(
    twice: RunTwice, moment: str
) -> None:
    process = start(*twice.words, "--results", twice.disturbed, cwd=twice.folder, **SLOWED)
    wait_for(twice.disturbed, moment)
    kill([process.pid])
    process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while workers_of(twice.disturbed) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not workers_of(twice.disturbed)
    assert twice.run("disturbed", "--jobs", 0) == 0
    twice.assert_undisturbed_tables()


@needs_proc
@pytest.mark.usefixtures("card_only")
@pytest.mark.parametrize("moment", MOMENTS)
def test_after_kill_9_of_a_worker_the_same_command_gives_the_tables_of_an_undisturbed_run(
    twice: RunTwice, moment: str
) -> None:
    killed: list[int] = []

    def kill_workers() -> None:
        wait_for(twice.disturbed, moment)
        killed.extend(workers_of(twice.disturbed))
        kill(killed)

    with ThreadPoolExecutor(1) as other:
        killing = other.submit(kill_workers)
        returncode = twice.run("disturbed", **SLOWED)
        killing.result()
    if moment == "history.csv":  # the others may find the worker that has ended or the next that has not begun
        assert killed
        assert returncode == 1
        assert "killed by signal 9" in (twice.disturbed / "squares" / "folds.csv").read_text()
    assert twice.run("disturbed", "--jobs", 0) == 0
    twice.assert_undisturbed_tables()
