"""Tests of the command line in a process of its own: output, exit codes, one-line errors."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest


def benchbench(*words: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BENCHBENCH_CACHE": str(cwd / "cache"), **variables}
    command = [sys.executable, "-m", "benchbench", *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def start(*words: object, cwd: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "BENCHBENCH_CACHE": str(cwd / "cache")}
    command = [sys.executable, "-m", "benchbench", *map(str, words)]
    # background jobs of a shell ignore SIGINT, and so would the processes that they start
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def one_line(text: str) -> bool:
    return len(text.strip().splitlines()) == 1 and "Traceback" not in text


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["report", "--help"], ["list", "--help"], ["data", "--help"]]
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys; from benchbench.cli import _run; code = _run(sys.argv[1:]);"
        "heavy = {'torch', 'pandas', 'numpy', 'pydantic', 'albumentations', 'rich', 'matplotlib', 'requests', 'pooch'} & set(sys.modules);"
        "print(heavy, file=sys.stderr); sys.exit(code or len(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


def test_report_never_imports_torch(benchmark_file: Path, squares: Path) -> None:
    folder = benchmark_file.parent
    assert (
        benchbench("run", benchmark_file, "--data-root", squares, "--only", "fold=0", cwd=folder).returncode == 0
    )
    (folder / "results" / "squares" / "folds.csv").unlink()
    code = (
        "import sys; from benchbench.cli import _run; code = _run(['report', 'results']);"
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 runs" in done.stdout
    assert (folder / "results" / "squares" / "folds.csv").exists()


def test_a_run_prints_the_per_fold_table_and_ends_with_0(benchmark_file: Path, squares: Path) -> None:
    folder = benchmark_file.parent
    done = benchbench("run", benchmark_file, "--data-root", squares, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "squares/plain/default/fold1/seed0: epoch 2 of 2, loss" in done.stdout
    table = pd.read_csv(folder / "results" / "squares" / "folds.csv")
    for dice in table["dice"]:
        assert f"{dice:.4f}" in done.stdout
    planned = json.loads(benchbench("plan", benchmark_file, "--json", cwd=folder).stdout)
    assert [run["state"] for run in planned["runs"]] == ["done", "done"]
    assert "2 runs, 2 to do" in benchbench("plan", benchmark_file, "--set", "protocol.epochs=9", cwd=folder).stdout


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
    assert one_line(done.stderr)


def second(benchmark_file: Path, name: str, *, old: str = "", new: str = "") -> Path:
    """Write the same benchmark under another name, with one text replaced, and return the file."""
    text = benchmark_file.read_text()
    assert old in text
    path = benchmark_file.with_name(f"{name}.toml")
    path.write_text(text.replace(old, new) if old else text)
    return path


def test_several_benchmarks_run_in_order_and_end_with_one_line_for_each(
    benchmark_file: Path, squares: Path
) -> None:
    more = second(benchmark_file, "more")
    words = ["--data-root", squares, "--set", "protocol.epochs=1", "--only", "fold=1", "--jobs", 0]
    done = benchbench("run", more, benchmark_file, *words, cwd=benchmark_file.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["more: all 1 runs are done", "squares: all 1 runs are done"]
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
    assert lines[1] == "explodes: 1 of 1 runs are not done; the table above gives the reasons"
    assert lines[2] == "squares: all 1 runs are done"
    assert benchbench("run", explodes, benchmark_file, *words, cwd=folder).returncode == 1


def test_a_selection_may_skip_benchmarks_but_not_all(benchmark_file: Path, squares: Path) -> None:
    folder = benchmark_file.parent
    variant = '[[variants]]\nlabel = "odd"\nset = { "protocol.batch" = 3 }\n[protocol]'
    other = second(benchmark_file, "other", old="[protocol]", new=variant)
    words = ["run", benchmark_file, other, "--data-root", squares, "--set", "protocol.epochs=1", "--jobs", 0]
    done = benchbench(*words, "--only", "variant=odd,fold=0", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"{benchmark_file}: skipped, because --only variant=odd,fold=0 selects none of its runs" in done.stdout
    assert not (folder / "results" / "squares").exists()
    assert done.stdout.splitlines()[-1] == "other: all 1 runs are done"
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


def test_debug_shows_the_traceback(benchmark_file: Path) -> None:
    done = benchbench("--debug", "run", benchmark_file, cwd=benchmark_file.parent, BENCHBENCH_DATA="")
    assert "Traceback" in done.stderr


def test_a_3d_model_under_a_2d_protocol_is_refused(benchmark_file: Path) -> None:
    benchmark_file.write_text(benchmark_file.read_text().replace('"plain"', '"solid"'))
    done = benchbench("plan", benchmark_file, cwd=benchmark_file.parent)
    assert done.returncode == 2
    assert "protocol.ndim: found 2, but model 'solid' is 3D" in done.stderr


def test_list_show_status_and_doctor_name_the_plugins(tmp_path: Path, squares: Path) -> None:
    listed = json.loads(benchbench("list", "--json", cwd=tmp_path).stdout)
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


def test_ctrl_c_ends_with_130_and_leaves_everything_readable(benchmark_file: Path, squares: Path) -> None:
    folder = benchmark_file.parent
    process = start("run", benchmark_file, "--data-root", squares, "--set", "protocol.epochs=2000", cwd=folder)
    wait_for(folder / "results" / "squares" / "runs", "history.csv")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "interrupted" in output
    assert "Traceback" not in output
    assert pd.read_csv(folder / "results" / "squares" / "folds.csv")["status"].tolist() == ["not run", "not run"]
    history = next((folder / "results").rglob("history.csv"))
    assert len(pd.read_csv(history)) > 0


def wait_for(folder: Path, name: str, seconds: float = 60.0) -> Path:
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
        if any(str(folder) in link and "worker.log" in link for link in links):
            workers.append(int(process.name))
    return workers


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finds processes through /proc")
@pytest.mark.parametrize("victim", ["parent", "worker"])
def test_tables_are_the_same_after_kill_9_at_any_moment_and_a_second_command(
    benchmark_file: Path, squares: Path, tmp_path: Path, victim: str
) -> None:
    words = ["run", benchmark_file, "--data-root", squares, "--set", "protocol.epochs=6"]
    undisturbed = tmp_path / "undisturbed"
    assert benchbench(*words, "--results", undisturbed, cwd=tmp_path).returncode == 0
    killed = tmp_path / "killed"
    for moment in (0.5, 3.0, 4.0, 5.5):
        process = start(*words, "--results", killed, cwd=tmp_path)
        time.sleep(moment)
        targets = [process.pid] if victim == "parent" else workers_of(killed)
        for target in targets:
            os.kill(target, signal.SIGKILL)
        process.communicate(timeout=120)
    assert benchbench(*words, "--results", killed, cwd=tmp_path).returncode == 0
    deadline = time.monotonic() + 20
    while workers_of(killed) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not workers_of(killed)
    names = ["folds.csv", "summary.csv", "leaderboard.md", "tables/1-dice-fold-by-model.md"]
    for name in names:
        assert (killed / "squares" / name).read_bytes() == (undisturbed / "squares" / name).read_bytes(), name
