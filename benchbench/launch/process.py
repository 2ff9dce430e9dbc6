"""Carries out each run in a worker process: a crash stops no other run, and all memory is returned."""

from __future__ import annotations

import contextlib
import json
import pickle
import queue
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from benchbench.errors import BenchbenchError, storage_error
from benchbench.launch import Listener, RunEvent
from benchbench.launch.attempts import OUT_OF_MEMORY, outcome_of
from benchbench.launch.machine import Machine, Slot, device_slots, most_per_device, threads_per_run
from benchbench.launch.packing import EVERY_SLOT, Sharing
from benchbench.launch.run_queue import Queue, RunQueue
from benchbench.launch.worker_process import WorkerProcess, start_worker, with_own_devices
from benchbench.records.record import Record
from benchbench.records.run_folder import LOCK_SECONDS, RunBusyError
from benchbench.run.assignment import Assignment, Progress
from benchbench.run.stop_request import STOP_SIGNALS

EXIT_BUSY = 75
"""Exit code of a worker whose run is locked by another process (EX_TEMPFAIL)."""

_STOP_SECONDS = 30.0  # for the step under way and for saving the state
_STOP_CODES = {code for number in STOP_SIGNALS for code in (-number, 128 + number)}
"""Exit codes of a worker that a signal stopped; the second kind is that of a run of several processes."""
_POLL_SECONDS = 0.5
_SIGNAL_SECONDS = 5.0  # a cluster sends a signal to all processes of a job, and this one may see it last


class _Exit(NamedTuple):
    """The end of a worker process."""

    code: int
    """Its exit code, or minus the number of the signal that ended it."""
    reason: str
    """The error that it reported, or its end in words."""


_Events = queue.SimpleQueue[tuple[Assignment, RunEvent] | None]
"""Events of runs from the slot threads; None when a slot has no more runs."""


@dataclass(frozen=True)
class ProcessLauncher:
    """Runs one worker process at a time in every slot."""

    slots: tuple[Slot, ...]
    """The devices of each slot; slots may share a device."""
    threads: int
    """CPU threads of a run, all of its processes together."""
    runs_per_device: int | None = 1
    """Number of runs that share a device, those of other commands included; None where the queue knows it."""
    sharing: Sharing = EVERY_SLOT
    """Decides which of the runs that are given together share a GPU."""
    _workers: set[WorkerProcess] = field(default_factory=set, compare=False)

    def __call__(self, assignments: Sequence[Assignment], listener: Listener) -> None:
        """Carry out the runs, each in its own process.

        An exception raised here or by the listener, KeyboardInterrupt included, stops the workers and is raised
        again.
        """
        self.serve(RunQueue(assignments, self.sharing), listener, slots=len(assignments))

    def serve(self, run_queue: Queue, listener: Listener, *, slots: int | None = None) -> None:
        """Carry out the runs of a queue, each in its own process, in at most so many slots at the same time.

        An exception stops the workers and is raised again, as above.
        """
        events: _Events = queue.SimpleQueue()
        stopping = threading.Event()
        threads = []
        for devices in self.slots[:slots]:
            arguments = (devices, run_queue, events, stopping)
            threads.append(threading.Thread(target=self._serve_slot, args=arguments, daemon=True))
        for thread in threads:
            thread.start()
        try:
            _forward(events, listener, slots=len(threads))
        finally:
            stopping.set()
            run_queue.clear()
            self._stop_workers()
            for thread in threads:
                thread.join(_STOP_SECONDS)

    def _serve_slot(self, devices: Slot, run_queue: Queue, events: _Events, stopping: threading.Event) -> None:
        """Carry out queued runs on these devices until the queue is empty."""
        try:
            while (queued := run_queue.take(devices)) is not None:
                assignment = replace(
                    queued,
                    device=devices[0],
                    devices=devices,
                    threads=self.threads,
                    runs_per_device=self._count_runs(queued, devices),
                )
                end: RunEvent | None = None
                is_repeated = False
                try:
                    exited = self._carry_out(assignment, events, stopping)
                    if exited is not None:
                        end, is_repeated = _end_of(assignment, exited, run_queue)
                except (BenchbenchError, OSError) as error:  # the other runs may have their files elsewhere
                    end = storage_error(error) if isinstance(error, OSError) else error
                finally:
                    if not is_repeated:
                        run_queue.finish(queued)
                if end is not None:
                    events.put((assignment, end))
        finally:
            events.put(None)

    def _count_runs(self, queued: Assignment, devices: Slot) -> int:
        """Return the number of runs that may share one of these devices."""
        if self.runs_per_device is None:
            return queued.runs_per_device
        counts = [sum(device in slot for slot in self.slots) for device in devices]
        return max(self.runs_per_device, *counts)

    def _carry_out(self, assignment: Assignment, events: _Events, stopping: threading.Event) -> _Exit | None:
        """Carry out a run and return the end of its worker; None if the launcher is stopping."""
        # under the lock: another process may carry out this run, and its record and log must stay
        with assignment.folder.lock(LOCK_SECONDS):
            record = assignment.folder.read_record()
            if not assignment.is_done_by(record) and not assignment.is_trained_by(record):
                assignment.folder.discard("run.json")
            worker = start_worker(assignment)
        self._workers.add(worker)
        if stopping.is_set():  # since before the worker was in the set
            worker.terminate()
        assert worker.stdin is not None
        assert worker.stdout is not None
        reason = ""
        # a broken pipe is a worker that died at its start: its exit code tells the cause
        with worker.stdout, contextlib.suppress(BrokenPipeError), worker.stdin:
            worker.stdin.write(pickle.dumps(with_own_devices(assignment)))
            worker.stdin.flush()  # the pipe stays open: it closes when this process dies, and the worker then ends
            for line in worker.stdout:
                message = json.loads(line)
                if "error" in message:
                    reason = message["error"]
                else:
                    events.put((assignment, Progress(**message)))
        code = worker.wait()
        self._workers.discard(worker)
        if _is_stopped(code, stopping):
            return None
        return _Exit(code, reason or _describe_exit(code))

    def _stop_workers(self) -> None:
        workers = list(self._workers)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            try:
                worker.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                worker.kill()


def process_launcher(machine: Machine, sharing: Sharing, *, processes: int) -> ProcessLauncher:
    """Return the launcher for runs of so many processes on a machine."""
    return ProcessLauncher(
        slots=device_slots(machine, processes),
        threads=threads_per_run(machine, processes),
        runs_per_device=most_per_device(machine, processes) if sharing is EVERY_SLOT else None,
        sharing=sharing,
    )


def _is_stopped(code: int, stopping: threading.Event) -> bool:
    """Return True if a worker with this exit code ended because this process stops, or is about to."""
    return stopping.wait(_SIGNAL_SECONDS if code in _STOP_CODES else 0)


def _end_of(assignment: Assignment, exited: _Exit, run_queue: Queue) -> tuple[RunEvent | None, bool]:
    """Return the event of the end of a worker, and True if its run is given once more."""
    if exited.code in _STOP_CODES and run_queue.repeat_stopped(assignment):
        remark = f"{exited.reason}, which was not sent to this command; the run continues"
        return Progress(0, assignment.planned_epochs, remark=remark), True
    end = _read_end(assignment, exited)
    if isinstance(end, Record) and outcome_of(end) == OUT_OF_MEMORY and run_queue.repeat_alone(assignment):
        return None, True
    return end, False


def _forward(events: _Events, listener: Listener, *, slots: int) -> None:
    """Pass events to the listener until no slot has runs left."""
    active = slots
    while active:
        try:
            # a signal that comes just before the call waits would otherwise be handled after the next event
            message = events.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
        if message is None:
            active -= 1
            continue
        assignment, event = message
        listener(assignment.key, event)


def _read_end(assignment: Assignment, exited: _Exit) -> Record | Exception:
    """Return the record that a worker wrote, or write one with the reason why there is none."""
    record = assignment.folder.read_record()
    if record is not None and record.status == "waiting" and not record.reason:
        return replace(record, reason=exited.reason)  # the worker died while it scored
    if record is not None:
        return record
    if exited.code == EXIT_BUSY:
        return RunBusyError(f"{assignment.key}: another process is carrying out this run; wait for it or stop it")
    record = assignment.record(status="failed", reason=exited.reason, provenance={}, seconds=0.0)
    try:
        with assignment.folder.lock(timeout_seconds=1):
            written = assignment.folder.read_record()
            if written is not None:  # by another process that has taken over
                return written
            assignment.folder.write_record(record)
    except BenchbenchError as error:
        return error
    return record


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"the worker process ended with exit code {code} and without a record (see worker.log)"
    text = f"the worker process was killed by signal {-code} ({signal.Signals(-code).name})"
    if -code == signal.SIGKILL:
        text += "; the system may have run out of memory: lower --jobs or protocol.batch"
    return text
