"""The launcher for Ray: how many workers it starts, their commands, and workers that are lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchbench import UsageError, WorkOrder
from benchbench_launchers.ray_launcher import _command, _count_workers, _follow, _gpu_share, run_worker

CPUS = {"CPU": 16.0}
FOUR_GPUS = {"CPU": 16.0, "GPU": 4.0}


@pytest.fixture
def lines() -> list[str]:
    """The lines that the launcher passes on."""
    return []


@pytest.fixture
def order(tmp_path: Path, lines: list[str]) -> WorkOrder:
    return WorkOrder(
        folder=tmp_path,
        words=("benchbench", "work"),
        runs=20,
        processes=1,
        device="auto",
        runs_per_device=1,
        seconds=None,
        memory_bytes=None,
        takeover_seconds=120.0,
        print_line=lines.append,
    )


@pytest.mark.parametrize(
    ("per_device", "share", "workers", "sharing"),
    [(1, 1.0, 4, "1"), (2, 0.5, 8, "2"), (4, 0.25, 16, "4")],
)
def test_runs_that_share_a_gpu_take_a_part_of_it(
    order: WorkOrder, per_device: int, share: float, workers: int, sharing: str
) -> None:
    shared = replace(order, runs_per_device=per_device)
    assert _gpu_share(shared, FOUR_GPUS, None) == share
    assert _count_workers(shared, FOUR_GPUS, workers=None, cpus=1, share=share) == workers
    words = _command(shared, cpus=2, share=share, count=workers, more=("--scratch", "/local"))
    expected = ["--jobs", "1", "--per-device", sharing, "--cores", "2", "--end-with-stdin", "--scratch", "/local"]
    assert list(words) == ["benchbench", "work", *expected]


def test_workers_on_cpus_share_the_cpu(order: WorkOrder) -> None:
    assert _gpu_share(replace(order, device="cpu"), FOUR_GPUS, None) == 0
    assert _gpu_share(order, CPUS, None) == 0
    assert _count_workers(order, CPUS, workers=None, cpus=3, share=0.0) == 5
    assert _count_workers(order, CPUS, workers=2, cpus=3, share=0.0) == 2
    assert _count_workers(replace(order, runs=1), CPUS, workers=None, cpus=3, share=0.0) == 1
    words = _command(order, cpus=3, share=0.0, count=5, more=())
    assert words[words.index("--per-device") + 1] == "5"


def test_more_than_the_machine_has_is_refused(order: WorkOrder) -> None:
    pair = replace(order, processes=2)
    assert _gpu_share(pair, FOUR_GPUS, None) == 2
    with pytest.raises(UsageError, match=r"gpus = 1, but a run has 2 processes.*set gpus to 2"):
        _gpu_share(pair, FOUR_GPUS, 1.0)
    with pytest.raises(UsageError, match="a worker needs 8 GPUs, but Ray finds 4 on this machine"):
        _gpu_share(replace(order, processes=8), FOUR_GPUS, None)
    with pytest.raises(UsageError, match="cpus = 32, but this process may use 16 cores; lower cpus"):
        _count_workers(order, FOUR_GPUS, workers=None, cpus=32, share=1.0)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_the_lines_of_a_worker_are_passed_on_with_its_errors() -> None:
    code = "import sys; print('one', flush=True); print('two', file=sys.stderr)"
    assert list(run_worker(python(code))) == ["one\n", "two\n"]


def test_a_worker_that_a_signal_killed_is_lost_and_one_that_failed_is_not() -> None:
    code = "import os, signal; print('one', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    worker = run_worker(python(code))
    assert next(worker) == "one\n"
    with pytest.raises(RuntimeError, match=r"^killed by signal 9$"):
        next(worker)
    assert list(run_worker(python("import sys; sys.exit(1)"))) == []


def test_a_cancelled_task_lets_its_worker_save(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    code = (
        "import pathlib, signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(saved)!r}).touch(), sys.exit(0)))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    worker = run_worker(python(code))
    assert next(worker) == "ready\n"
    with pytest.raises(KeyboardInterrupt):
        worker.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert saved.exists()


class WorkerLostError(Exception):
    """The error of `FakeRay` for a worker that was killed."""


class FakeRay:
    """Ray in this process: a task is a generator, and a value that is an error is raised."""

    class exceptions:  # noqa: N801 as in Ray
        RayError = WorkerLostError

    def wait(self, streams: list[Any], *, num_returns: int) -> tuple[list[Any], list[Any]]:
        return streams[:num_returns], streams[num_returns:]

    def get(self, value: object) -> object:
        if isinstance(value, Exception):
            raise value
        return value


class Task:
    """A task of `FakeRay`: each start yields the values of the next list."""

    def __init__(self, starts: list[list[object]]) -> None:
        self.starts = iter(starts)
        self.count = 0

    def remote(self, _: tuple[str, ...]) -> Iterator[object]:
        self.count += 1
        return iter(next(self.starts))


def test_a_lost_worker_is_started_again_a_number_of_times(order: WorkOrder, lines: list[str]) -> None:
    lost = WorkerLostError()
    task = Task([["a", lost], ["b"], ["c", lost], [lost]])
    _follow(FakeRay(), task, (), order, count=2, losses=1)
    assert task.count == 3
    assert lines == ["a", "a worker was lost (WorkerLostError)", "b", "c", "a worker was lost (WorkerLostError)"]


def test_the_loss_of_a_worker_names_the_signal_that_killed_it(order: WorkOrder, lines: list[str]) -> None:
    class TaskError(WorkerLostError):
        cause = RuntimeError("killed by signal 9")

    task = Task([["a", TaskError()], ["b"]])
    _follow(FakeRay(), task, (), order, count=1, losses=1)
    assert lines == ["a", "a worker was lost (killed by signal 9)", "b"]


IN_A_NEW_PROCESS = """
import json
import sys
from pathlib import Path
from benchbench import WorkOrder
from benchbench_launchers import ray_launcher

start, addresses, lines = ray_launcher._start_ray, [], []

def start_and_note():
    ray = start()
    addresses.append(ray.util.get_node_ip_address())
    return ray

ray_launcher._start_ray = start_and_note
order = WorkOrder(
    folder=Path.cwd(), words=(sys.executable, "-c", "import sys; print(sys.argv[1:])"), runs=1, processes=1,
    device="cpu", runs_per_device=1, seconds=None, memory_bytes=None, takeover_seconds=120.0, print_line=lines.append,
)
ray_launcher.launch(order, workers=1)
print(json.dumps([addresses, lines]))
"""
"""Ray reads its settings while it is imported, and another test may have imported it here."""


@pytest.mark.slow
def test_ray_runs_the_workers_on_the_local_address(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    addresses, lines = json.loads(done.stdout.splitlines()[-1])
    assert addresses == ["127.0.0.1"]
    assert [line for line in lines if line.startswith("a worker was lost")] == []
    assert "'--end-with-stdin'" in lines[0], f"after {time.monotonic() - begin:.0f} s"
