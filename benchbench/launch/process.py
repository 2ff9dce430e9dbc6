"""A worker process for each run: one that crashes takes nothing with it, and its memory is given back whole."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from benchbench.errors import BenchbenchError
from benchbench.launch import Listener
from benchbench.launch.waiting import Waiting
from benchbench.results.record import Record
from benchbench.results.run_folder import RunBusyError
from benchbench.run.assignment import Assignment, Progress

_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class ProcessLauncher:
    """Keeps one worker process busy in every slot."""

    slots: tuple[tuple[str, ...], ...]
    """The devices of each slot, one for each process of a run; a device named twice holds two runs at a time."""
    threads: int
    """Of a run, all of its processes together."""
    _workers: set[subprocess.Popen[bytes]] = field(default_factory=set, compare=False)

    def __call__(self, assignments: Sequence[Assignment], listen: Listener) -> None:
        """Carries out the runs, each in its own process.

        KeyboardInterrupt, or anything else raised here or by the listener, stops the workers and goes on up.
        """
        waiting = Waiting(assignments)
        heard: queue.SimpleQueue[tuple[Assignment, Progress | Record | Exception] | None] = queue.SimpleQueue()
        stopping = threading.Event()
        slots = [
            threading.Thread(target=self._serve, args=(devices, waiting, heard, stopping), daemon=True)
            for devices in self.slots[: len(assignments)]
        ]
        for slot in slots:
            slot.start()
        try:
            running = len(slots)
            while running:
                message = heard.get()
                if message is None:
                    running -= 1
                else:
                    listen(message[0].key, message[1])
        finally:
            stopping.set()
            waiting.drop()
            self._stop()
            for slot in slots:
                slot.join(_STOP_SECONDS)

    def _serve(
        self,
        devices: tuple[str, ...],
        waiting: Waiting,
        heard: queue.SimpleQueue[tuple[Assignment, Progress | Record | Exception] | None],
        stopping: threading.Event,
    ) -> None:
        try:
            while (taken := waiting.take()) is not None:
                assignment = replace(
                    taken,
                    device=devices[0],
                    devices=devices,
                    threads=self.threads,
                    runs_per_device=max(sum(device in slot for slot in self.slots) for device in devices),
                )
                try:
                    outcome = self._carry_out(assignment, heard, stopping)
                finally:
                    waiting.end(taken)
                if outcome is not None:
                    heard.put((assignment, outcome))
        finally:
            heard.put(None)

    def _carry_out(
        self,
        assignment: Assignment,
        heard: queue.SimpleQueue[tuple[Assignment, Progress | Record | Exception] | None],
        stopping: threading.Event,
    ) -> Record | Exception | None:
        if not assignment.is_done_by(assignment.folder.read_record()):
            assignment.folder.discard("run.json")
        worker = _start(assignment)
        self._workers.add(worker)
        assert worker.stdin is not None
        assert worker.stdout is not None
        with worker.stdout, contextlib.suppress(BrokenPipeError), worker.stdin:
            # a broken pipe is a worker that died at once: its exit code says how
            worker.stdin.write(pickle.dumps(assignment))
            worker.stdin.flush()  # and kept open: the worker ends when it closes, which it does if we die
            for line in worker.stdout:
                heard.put((assignment, Progress(**json.loads(line))))
        code = worker.wait()
        self._workers.discard(worker)
        return None if stopping.is_set() else _outcome(assignment, code)

    def _stop(self) -> None:
        for worker in list(self._workers):
            worker.terminate()
        for worker in list(self._workers):
            try:
                worker.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                worker.kill()


def _start(assignment: Assignment) -> subprocess.Popen[bytes]:
    folder = assignment.folder.path
    folder.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, assignment.threads // assignment.protocol.world_size))
    with (folder / "worker.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "benchbench.launch.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            # threads that wait by spinning make a run several times slower where others use the cores as well
            env={
                "OMP_WAIT_POLICY": "PASSIVE",
                **os.environ,
                "OMP_NUM_THREADS": threads,
                "MKL_NUM_THREADS": threads,
            },
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop the workers
        )


def _outcome(assignment: Assignment, code: int) -> Record | Exception:
    record = assignment.folder.read_record()
    if record is not None:
        return record
    if code == BUSY:
        return RunBusyError(f"{assignment.key}: another process is at this run; wait for it or stop it")
    record = assignment.record(status="failed", reason=_cause(code), provenance={}, seconds=0.0)
    try:
        with assignment.folder.lock(timeout_seconds=1):
            assignment.folder.write_record(record)
    except BenchbenchError as error:
        return error
    return record


def _cause(code: int) -> str:
    if code >= 0:
        return f"the worker process ended with exit code {code} and no record (worker.log has the rest)"
    hint = (
        "; the system may have run out of memory: lower --jobs or protocol.batch"
        if -code == signal.SIGKILL
        else ""
    )
    return f"the worker process was killed by signal {-code} ({signal.Signals(-code).name}){hint}"


BUSY = 75
"""Exit code of a worker whose run is another process's: EX_TEMPFAIL."""
