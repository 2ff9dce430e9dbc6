"""Tests of the process of a worker: how it starts, how it ends, and what it gets from this process."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchbench.launch import worker_process
from benchbench.launch.worker_process import _fork_server, _ForkedWorker, _ForkServer


class Scripted:
    """In place of an assignment: code that the worker runs while it reads its assignment."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return exec, (self.code,)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[tuple[str, ...], _ForkServer]]:
    servers: dict[tuple[str, ...], _ForkServer] = {}
    monkeypatch.setattr(worker_process, "_servers", servers)
    yield servers
    for server in servers.values():
        server.close()


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def start(environment: dict[str, str], log: Path, code: str) -> _ForkedWorker:
    with log.open("wb") as file:
        worker = _fork_server(environment).start_worker(environment, file)
    worker.stdin.write(pickle.dumps(Scripted(code)))
    worker.stdin.flush()
    return worker


def end(worker: _ForkedWorker) -> tuple[bytes, int]:
    """Return what the worker printed, and its exit code."""
    with worker.stdin, worker.stdout:
        return worker.stdout.read(), worker.wait(20)


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("raise SystemExit(7)", 7),
        ("import os; os._exit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import os; os.kill(os.getpid(), 11)", -11),
    ],
)
def test_the_exit_code_is_that_of_the_worker(
    environment: dict[str, str], tmp_path: Path, code: str, exit_code: int
) -> None:
    worker = start(environment, tmp_path / "log", code)
    assert end(worker) == (b"", exit_code)
    assert worker.wait() == exit_code  # again


def test_an_error_of_the_worker_is_in_its_log(environment: dict[str, str], tmp_path: Path) -> None:
    worker = start(environment, tmp_path / "log", "raise ValueError('no such case')")
    assert end(worker) == (b"", 1)
    assert (tmp_path / "log").read_text().endswith("ValueError: no such case\n")


def test_a_worker_has_the_folder_and_the_environment_of_its_start(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "import os; print(os.getcwd(), os.environ['OF_THIS_RUN'], flush=True); os._exit(0)"
    for value in ("first", "second"):
        worker = start(environment | {"OF_THIS_RUN": value}, tmp_path / "log", code)
        assert end(worker) == (f"{tmp_path} {value}\n".encode(), 0)


def test_a_worker_has_imported_what_a_run_needs(environment: dict[str, str], tmp_path: Path) -> None:
    code = (
        "import os, sys, torch\n"
        "print('benchbench.run.execute' in sys.modules, torch.cuda.is_initialized(), flush=True)\n"
        "before = set(sys.modules)\n"
        "torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], fused=True).zero_grad()\n"
        "print(len(set(sys.modules) - before), flush=True)\n"
        "os._exit(0)"
    )
    output, _ = end(start(environment, tmp_path / "log", code))
    loaded, imported = output.decode().splitlines()
    assert loaded == "True False"
    assert int(imported) < 20  # of more than 1,000 modules


def test_a_worker_that_does_not_end_in_time_is_killed(environment: dict[str, str], tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    worker = start(environment, tmp_path / "log", code)
    assert worker.stdout.readline() == b"ready\n"
    worker.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(0.1)
    worker.kill()
    assert end(worker) == (b"", -signal.SIGKILL)


def test_a_worker_that_has_ended_passes_no_signal_to_another_process_with_its_number(
    environment: dict[str, str], tmp_path: Path
) -> None:
    worker = start(environment, tmp_path / "log", "raise SystemExit(0)")
    assert end(worker) == (b"", 0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        worker.process = other.pid
        worker.kill()
        worker.terminate()
        other.communicate(b"\n", timeout=20)
    assert other.returncode == 0


def test_signals_for_all_processes_of_a_job_end_the_workers_and_not_their_server(
    environment: dict[str, str], tmp_path: Path
) -> None:
    code = "import time; print('ready', flush=True); time.sleep(60)"
    server = _fork_server(environment)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        worker = start(environment, tmp_path / "log", code)
        assert worker.stdout.readline() == b"ready\n"
        watching = Path(f"/proc/{worker.process}/stat").read_text().rpartition(")")[2].split()[1]
        for process in (server._process.pid, int(watching), worker.process):
            os.kill(process, number)
        assert end(worker) == (b"", -number)
        assert server.is_alive()


@pytest.mark.slow
def test_a_server_that_was_killed_is_replaced(
    servers: dict[tuple[str, ...], _ForkServer], environment: dict[str, str], tmp_path: Path
) -> None:
    worker = start(environment, tmp_path / "log", "import time; time.sleep(0.2); raise SystemExit(5)")
    (server,) = servers.values()
    server._process.kill()
    server._process.wait()
    assert end(worker) == (b"", 5)  # the workers of the killed server go on
    assert end(start(environment, tmp_path / "log", "raise SystemExit(6)")) == (b"", 6)


@pytest.mark.slow
def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import os\n"
        "from benchbench.launch.worker_process import _environment, _fork_server\n"
        "environment = _environment(1)\n"
        f"with open({str(tmp_path / 'log')!r}, 'wb') as log:\n"
        "    worker = _fork_server(environment).start_worker(environment, log)\n"
        "print(_fork_server(environment)._process.pid, worker.process, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -9
    for process in done.stdout.split():
        wait_for_end(int(process))


def wait_for_end(process: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail(f"process {process} goes on")
