"""Starts the process of a worker: as a copy of a fork server, or as a new interpreter where there is none."""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Protocol

from benchbench.engine.devices.visible import VISIBLE, VisibleDevices, hide_other_gpus
from benchbench.run.assignment import Assignment

_UNKNOWN_END = -signal.SIGKILL  # the process that watches the worker is killed together with it


class WorkerProcess(Protocol):
    """A process of its own that carries out one run; `subprocess.Popen` is one."""

    @property
    def stdin(self) -> IO[bytes] | None:
        """The file that takes the pickled assignment; the worker ends when it is closed."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """The file that yields progress, a JSON object per line."""

    def terminate(self) -> None:
        """Ask the worker to end."""

    def kill(self) -> None:
        """End the worker at once."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, which is minus the number of the signal that ended the worker.

        Raises:
            subprocess.TimeoutExpired: the worker has not ended in so many seconds.
        """


def start_worker(assignment: Assignment) -> WorkerProcess:
    """Start a worker, which waits for its assignment; its standard error is worker.log in the folder of the run.

    Raises:
        OSError: the log cannot be written, or no process can be started.
    """
    folder = assignment.folder.path
    folder.mkdir(parents=True, exist_ok=True)
    environment = _environment(max(1, assignment.threads // assignment.protocol.world_size))
    if visible := _visible(assignment).environment:
        environment |= visible
        # memory that batches of other sizes have left can then be used
        environment.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    with (folder / "worker.log").open("wb") as log:
        if sys.platform == "linux":  # elsewhere, libraries of the system do not work in a copy of a process
            with contextlib.suppress(OSError, EOFError):  # the new interpreter below shows what is wrong
                return _fork_server(environment).start_worker(environment, log)
        return subprocess.Popen(
            # -P: a file of the working folder must not be imported in place of a module
            [sys.executable, "-P", "-m", "benchbench.launch.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches only this process, which stops the workers
        )


def with_own_devices(assignment: Assignment) -> Assignment:
    """Return a run with the names that its devices have in its worker, which sees no other GPUs."""
    device, *devices = _visible(assignment).devices
    return replace(assignment, device=device, devices=tuple(devices))


def _visible(assignment: Assignment) -> VisibleDevices:
    """Return the environment of a worker, and the names there of its device and of those of its processes."""
    devices = (assignment.device, *assignment.devices)
    return hide_other_gpus(devices, os.environ.get(VISIBLE))


def _environment(threads: int) -> dict[str, str]:
    return {
        # threads that wait actively slow a run down several times if other runs use the same cores
        "OMP_WAIT_POLICY": "PASSIVE",
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
    }


@dataclass(eq=False)  # compared by identity, as Popen is
class _ForkedWorker:
    """A worker that is a copy of the fork server; its methods are those of `WorkerProcess`."""

    stdin: IO[bytes]
    stdout: IO[bytes]
    process: int
    status: Connection
    _exit_code: int | None = None
    _waiting: threading.Lock = field(default_factory=threading.Lock)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._waiting.acquire(timeout=-1 if timeout is None else timeout):
            raise subprocess.TimeoutExpired("worker", timeout or 0)
        try:
            return self._read_exit_code(deadline)
        finally:
            self._waiting.release()

    def _read_exit_code(self, deadline: float | None) -> int:
        if self._exit_code is not None:
            return self._exit_code
        seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not self.status.poll(seconds):
            raise subprocess.TimeoutExpired("worker", seconds or 0)
        try:
            code: int = self.status.recv()
        except EOFError:
            code = _UNKNOWN_END
        self._exit_code = code
        self.status.close()
        return code

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._exit_code is None:
                os.kill(self.process, number)


class _ForkServer:
    """A fork server, and the socket on which it receives requests."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [sys.executable, "-P", "-m", "benchbench.launch.fork_server", str(theirs.fileno())]
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 no word of it comes from a user
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=environment,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except OSError:
            self._requests.close()
            raise

    def start_worker(self, environment: Mapping[str, str], log: IO[bytes]) -> _ForkedWorker:
        """Start a worker in the working folder.

        Raises:
            EOFError: the server has ended.
            OSError: likewise.
        """
        stdin, our_stdin = _open_pipe()
        our_stdout, stdout = _open_pipe()
        receiver, sender = Pipe(duplex=False)
        request = pickle.dumps((Path.cwd(), dict(environment)))
        with stdin, stdout, sender:
            descriptors = [file.fileno() for file in (stdin, stdout, log, sender)]
            socket.send_fds(self._requests, [request], descriptors)
        try:
            process: int = receiver.recv()  # waits while the server imports
        except EOFError:
            our_stdin.close()
            our_stdout.close()
            raise
        return _ForkedWorker(our_stdin, our_stdout, process, receiver)

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End the server; its workers go on."""
        self._requests.close()
        self._process.kill()
        self._process.wait()


def _open_pipe() -> tuple[IO[bytes], IO[bytes]]:
    """Return the end to read from, and the end to write to."""
    reader, writer = os.pipe()
    return os.fdopen(reader, "rb"), os.fdopen(writer, "wb")


_servers: dict[tuple[str, ...], _ForkServer] = {}
_starting = threading.Lock()


def _fork_server(environment: Mapping[str, str]) -> _ForkServer:
    """Return the running server for this environment, or start one."""
    # the only variables that libraries read while they are imported, and that differ between workers
    key = (environment["OMP_NUM_THREADS"], environment.get("PYTHONPATH", ""))
    with _starting:
        server = _servers.get(key)
        if server is None or not server.is_alive():
            server = _servers[key] = _ForkServer(environment)
            atexit.register(server.close)
        return server
