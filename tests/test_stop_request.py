"""Signals that ask a run to stop: inside an epoch, in a validation, while test cases are scored, in a worker."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from carry import Recorder, carry

from benchbench.launch.process import _forward, _is_stopped
from benchbench.launch.worker_process import start_worker
from benchbench.plan.run import RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.run.assignment import Assignment, Progress
from benchbench.run.resumable_training import resume_tag
from benchbench.run.stop_request import StoppedError, StopRequest, stop_request

pytestmark = pytest.mark.usefixtures("without_report")
KEY = RunKey("squares", "plain", "default", 0, 0)
SETTINGS = ("protocol.batch=1",)  # several steps an epoch
FILES = ("best.safetensors", "cases.parquet", "slices.parquet", "predictions.parquet")


class _SignalError(BaseException):
    """The handler of the command was called."""


def send(number: int, *, when: Callable[[Any], bool]) -> Any:
    """Return a patch of the observer that sends a signal to this process at the first event that qualifies."""
    sent: list[Any] = []

    def on_run_event(self: Recorder, key: RunKey, event: Any) -> None:
        self.events.append((key, event))
        if not sent and when(event):
            sent.append(event)
            os.kill(os.getpid(), number)

    return mock.patch.object(Recorder, "on_run_event", on_run_event)


def in_the_middle_of_epoch_2(event: Any) -> bool:
    return isinstance(event, Progress) and 1 < event.epochs < 2


def at_the_last_step(event: Any) -> bool:
    return isinstance(event, Progress) and event.epochs == 2 and not event.note


def raise_signal_error(*_: object) -> None:
    raise _SignalError


@pytest.fixture
def whole(benchmark_file: Path, squares: Path, tmp_path_factory: pytest.TempPathFactory) -> ResultsFolder:
    folder, _, _ = carry(benchmark_file, squares, tmp_path_factory.mktemp("whole"), *SETTINGS, only=["fold=0"])
    return folder


@pytest.mark.parametrize(
    ("number", "when"),
    [(signal.SIGTERM, in_the_middle_of_epoch_2), (signal.SIGUSR1, at_the_last_step)],
)
def test_a_run_that_a_signal_stops_inside_an_epoch_gives_the_bytes_of_an_undisturbed_one(
    whole: ResultsFolder,
    benchmark_file: Path,
    squares: Path,
    tmp_path: Path,
    number: signal.Signals,
    when: Callable[[Any], bool],
) -> None:
    before = signal.signal(number, raise_signal_error)
    try:
        with send(number, when=when), pytest.raises(_SignalError):
            carry(benchmark_file, squares, tmp_path, *SETTINGS, only=["fold=0"])
    finally:
        signal.signal(number, before)
    run = ResultsFolder(tmp_path / "results" / "squares").run(KEY)
    assert run.read_record() is None
    assert (run.path / "resume.pt").exists()
    folder, (record,), recorder = carry(benchmark_file, squares, tmp_path, *SETTINGS, only=["fold=0"])
    assert record is not None
    assert record.status == "done"
    first = next(event for _, event in recorder.events)
    assert first.epochs > 1, "it continues inside the second epoch"
    for name in FILES:
        assert (folder.run(KEY).path / name).read_bytes() == (whole.run(KEY).path / name).read_bytes(), name
    assert not (run.path / "resume.pt").exists()


def test_a_signal_while_test_cases_are_scored_loses_no_training(
    whole: ResultsFolder, benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    def stop(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    before = signal.signal(signal.SIGTERM, raise_signal_error)
    try:
        with mock.patch("benchbench.run.scored.evaluate", stop), pytest.raises(_SignalError):
            carry(benchmark_file, squares, tmp_path, *SETTINGS, only=["fold=0"])
    finally:
        signal.signal(signal.SIGTERM, before)
    folder, (record,), recorder = carry(benchmark_file, squares, tmp_path, *SETTINGS, only=["fold=0"])
    assert record is not None
    assert [event for _, event in recorder.events if isinstance(event, Progress)] == []
    for name in FILES:
        assert (folder.run(KEY).path / name).read_bytes() == (whole.run(KEY).path / name).read_bytes(), name


def test_a_signal_is_noted_and_raises_only_when_it_is_checked() -> None:
    with stop_request() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        with pytest.raises(StoppedError) as error:
            stop.check()
    assert error.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_ctrl_c_stops_at_once_and_a_second_sigterm_does_not() -> None:
    stop = StopRequest()
    stop.receive(signal.SIGTERM, None)
    stop.receive(signal.SIGTERM, None)  # from a cluster and from the launcher
    stop.receive(signal.SIGINT, None)
    with pytest.raises(StoppedError):
        stop.receive(signal.SIGINT, None)


def test_a_signal_after_the_training_stops_at_once() -> None:
    stop = StopRequest()
    stop.raise_at_once()
    with pytest.raises(StoppedError):
        stop.receive(signal.SIGUSR1, None)


def test_a_worker_that_gets_a_signal_ends_by_it_and_leaves_its_state(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    workers: list[Any] = []

    def start(assignment: Assignment) -> Any:
        workers.append(start_worker(assignment))
        return workers[-1]

    def stop_worker(self: Recorder, key: RunKey, event: Any) -> None:
        self.events.append((key, event))
        if isinstance(event, Progress) and event.note:
            workers[0]._signal(signal.SIGUSR1)

    with (
        mock.patch("benchbench.launch.process.start_worker", start),
        mock.patch("benchbench.launch.process._SIGNAL_SECONDS", 0.0),
        mock.patch.object(Recorder, "on_run_event", stop_worker),
    ):
        _, (record,), _ = carry(benchmark_file, squares, tmp_path, "protocol.epochs=4000", only=["fold=0"], jobs=1)
    assert record is not None
    assert record.reason.startswith("the worker process was killed by signal 10 (SIGUSR1)")
    run = ResultsFolder(tmp_path / "results" / "squares").run(KEY)
    assert (run.path / "resume.pt").exists()


def test_a_worker_that_gets_the_signal_before_its_launcher_has_not_failed() -> None:
    for code in (-signal.SIGTERM, -signal.SIGUSR1, 128 + signal.SIGUSR1):
        stopping = threading.Event()
        timer = threading.Timer(0.02, stopping.set)
        timer.start()
        assert _is_stopped(code, stopping)
        timer.join()
    assert not _is_stopped(-signal.SIGKILL, threading.Event())


def test_a_signal_that_does_not_wake_the_launcher_is_handled_soon() -> None:
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    sleeper = threading.Timer(60, lambda: None)
    sleeper.start()
    # the system gives the signal to a thread that sleeps; the main thread, which handles it, goes on waiting
    threading.Timer(0.1, lambda: signal.pthread_kill(sleeper.ident or 0, signal.SIGUSR1)).start()
    end = threading.Timer(20, events.put, args=[None])
    end.start()
    before = signal.signal(signal.SIGUSR1, raise_signal_error)
    try:
        with pytest.raises(_SignalError):
            _forward(events, lambda *_: None, slots=1)
        assert end.is_alive()
    finally:
        signal.signal(signal.SIGUSR1, before)
        sleeper.cancel()
        end.cancel()


@pytest.mark.parametrize(("first", "second", "is_equal"), [("cuda:0", "cuda:3", True), ("cpu", "cuda:0", False)])
def test_a_run_resumes_on_any_device_of_its_kind(first: str, second: str, *, is_equal: bool) -> None:
    tags = []
    for device in (first, second):
        assignment = mock.Mock(device=device, digest="a", data_digest="b", split_digest="c")
        assignment.protocol.precision = "bf16"
        assignment.settings.compile = "off"
        tags.append(resume_tag(assignment))
    assert (tags[0] == tags[1]) is is_equal
