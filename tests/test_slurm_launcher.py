"""The launcher for SLURM: how many jobs it submits, what it asks for, and how a job ends and continues."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchbench import UsageError, WorkOrder
from benchbench_launchers.slurm_launcher import WorkJob, count_jobs, job_memory_gb, job_minutes, launch

GIB = 2**30
SBATCH = """#!/bin/sh
cat "$1" > {folder}/submitted.sh
echo "Submitted batch job 77"
"""


@pytest.fixture
def lines() -> list[str]:
    """The lines that the launcher prints."""
    return []


@pytest.fixture
def order(tmp_path: Path, lines: list[str]) -> WorkOrder:
    return WorkOrder(
        folder=tmp_path / "results",
        words=(sys.executable, "-c", "print('a worker')"),
        runs=30,
        processes=1,
        device="auto",
        runs_per_device=1,
        seconds=None,
        memory_bytes=None,
        takeover_seconds=120.0,
        print_line=lines.append,
    )


@pytest.fixture
def submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The script that the last sbatch got, from commands that take the place of SLURM's."""
    pytest.importorskip("submitit")
    commands = tmp_path / "commands"
    commands.mkdir()
    (commands / "sbatch").write_text(SBATCH.format(folder=tmp_path))
    (commands / "srun").write_text("#!/bin/sh\n")
    for command in commands.iterdir():
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    return tmp_path / "submitted.sh"


def options_of(script: Path) -> dict[str, str]:
    """The options of sbatch in a script; '' for a flag."""
    return dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", script.read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize(
    ("seconds", "jobs", "minutes"),
    [
        (None, 30, 480),  # nothing was measured
        (7200.0, 30, 190),  # one run of two hours in each job: 1.5 × 120 + 10
        (60.0, 3, 25),  # 30 runs of a minute: 3 jobs of 10 runs, 1.5 × 10 + 10
        (1.0, 1, 20),  # 30 seconds in all: one job of the least time, and 10 minutes to start
    ],
)
def test_short_runs_are_bundled_so_that_a_job_lasts_some_minutes(
    order: WorkOrder, seconds: float | None, jobs: int, minutes: int
) -> None:
    measured = replace(order, seconds=seconds)
    assert count_jobs(measured, max_jobs=100, min_minutes=10) == jobs
    assert job_minutes(measured, jobs, min_minutes=10) == minutes


def test_there_are_at_most_as_many_jobs_as_asked_for_and_two_runs_share_one(order: WorkOrder) -> None:
    assert count_jobs(order, max_jobs=4, min_minutes=10) == 4
    assert count_jobs(replace(order, runs_per_device=2), max_jobs=100, min_minutes=10) == 15


def test_memory_is_that_of_finished_runs_with_a_margin(order: WorkOrder) -> None:
    assert job_memory_gb(order) == 16
    assert job_memory_gb(replace(order, memory_bytes=4 * 10**9)) == 6
    assert job_memory_gb(replace(order, memory_bytes=4 * 10**9, runs_per_device=3)) == 18
    assert job_memory_gb(replace(order, memory_bytes=10**6)) == 2


def test_an_array_is_submitted_with_the_options(order: WorkOrder, submitted: Path, lines: list[str]) -> None:
    launch(
        replace(order, runs=3),
        partition="gpu",
        minutes=90,
        memory_gb=12,
        cpus=6,
        max_jobs=2,
        signal_seconds=45,
        sbatch={"account": "lab"},
        work_options=("--scratch", "/local"),
    )
    options = options_of(submitted)
    expected = {
        "array": "0-1%2",
        "partition": "gpu",
        "time": "90",
        "mem": "12GB",
        "cpus-per-task": "6",
        "gpus-per-node": "1",
        "signal": "USR1@45",
        "requeue": "",
        "account": "lab",
        "job-name": "benchbench",
    }
    assert {name: options.get(name) for name in expected} == expected
    logs = order.folder / "slurm"
    assert lines == [f"submitted 2 jobs to slurm: 77_0, 77_1; logs in {logs}"]
    assert len(list(logs.glob("77_*_submitted.pkl"))) == 2


def test_a_job_on_cpus_asks_for_no_gpu(order: WorkOrder, submitted: Path) -> None:
    launch(replace(order, device="cpu", runs=2))
    assert "gpus-per-node" not in options_of(submitted)


def test_a_run_of_two_processes_gets_two_gpus_of_one_node_or_is_refused(order: WorkOrder, submitted: Path) -> None:
    pair = replace(order, processes=2)
    launch(pair)
    assert options_of(submitted)["gpus-per-node"] == "2"
    with pytest.raises(UsageError, match=r"gpus = 1, but a run has 2 processes.*on one node; set gpus to 2"):
        launch(pair, gpus=1)


def test_the_message_of_sbatch_is_one_line(order: WorkOrder, submitted: Path) -> None:
    (submitted.parent / "commands" / "sbatch").write_text("#!/bin/sh\necho 'invalid\npartition' >&2\nexit 1\n")
    with pytest.raises(UsageError) as caught:
        launch(order, partition="none")
    assert str(caught.value).startswith("--launch slurm: ")
    assert "invalid partition" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_machine_without_slurm_is_refused(order: WorkOrder, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match=r"--launch slurm: Could not detect \"srun\""):
        launch(order)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_job_reads_variables_of_its_node_and_fails_with_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_CODE", "1")
    assert WorkJob((*python("import sys; sys.exit(int(sys.argv[1]))"), "$NODE_CODE"))() == 1
    monkeypatch.setenv("NODE_CODE", "143")  # scancel and scontrol requeue stop the worker by SIGTERM
    assert WorkJob((*python("import sys; sys.exit(int(sys.argv[1]))"), "$NODE_CODE"))() == 143
    monkeypatch.setenv("NODE_CODE", "2")
    with pytest.raises(RuntimeError, match="the worker ended with exit code 2"):
        WorkJob((*python("import sys; sys.exit(int(sys.argv[1]))"), "$NODE_CODE"))()


def test_the_warning_before_a_time_limit_ends_the_worker_and_continues_with_the_same_command(
    tmp_path: Path,
) -> None:
    pytest.importorskip("submitit")
    import threading

    started, saved = tmp_path / "started", tmp_path / "saved"
    code = (
        "import pathlib, signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(saved)!r}).touch(), sys.exit(0)))\n"
        f"pathlib.Path({str(started)!r}).touch()\n"
        "time.sleep(60)\n"
    )
    job = WorkJob(python(code))
    thread = threading.Thread(target=job)
    thread.start()
    while not started.exists():
        time.sleep(0.01)
    continued = job.checkpoint()
    thread.join(10)
    assert saved.exists()
    assert continued.function.words == job.words


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_submitit_starts_the_same_jobs_on_this_machine(order: WorkOrder, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    code = f"import pathlib, sys; pathlib.Path({str(tmp_path)!r}, 'words').write_text(' '.join(sys.argv[1:]))"
    launch(replace(order, words=python(code), runs=1, device="cpu"), cluster="local", cpus=1)
    deadline = time.monotonic() + 60
    while not (tmp_path / "words").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (tmp_path / "words").read_text() == "--wait 180 --cores 1"
    gc.collect()  # the processes of submitit's jobs, which nobody waits for


@pytest.mark.slow
def test_a_real_slurm_gives_the_bytes_of_worker_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    evidence = Path(__file__).parents[1] / "benchmarks" / "evidence"
    monkeypatch.syspath_prepend(str(evidence))
    from local_slurm import reason_without_slurm

    if reason := reason_without_slurm():
        pytest.skip(reason)
    words = [sys.executable, evidence / "launchers.py", "--only", "slurm", "--start-slurm", "--work", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith("| slurm |")]
    assert rows[0][2] == rows[0][3], "number of files, and of those that are identical"


def test_a_second_signal_does_not_interrupt_the_end_of_a_worker() -> None:
    import signal

    from benchbench.cli import _raise_terminated, _TerminatedError

    names = (signal.SIGTERM, signal.SIGUSR1)
    earlier = {name: signal.signal(name, _raise_terminated) for name in names}
    try:
        with pytest.raises(_TerminatedError):
            signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGUSR1)
    finally:
        for name, handler in earlier.items():
            signal.signal(name, handler)
