"""Starts the processes that train one model together, with torchrun's launcher, and reports their failures."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeVar

from benchbench.engine.devices.parent_watch import end_with_parent
from benchbench.errors import BenchbenchError

T = TypeVar("T")
R = TypeVar("R")
Send = Callable[[Any], None]

_LINGER_SECONDS = 2.0  # far longer than the launcher needs to see which process ended first
_LONGEST_REASON = 500  # characters; a message shorter than a memory page goes through a pipe in one piece


class ProcessDiedError(BenchbenchError):
    """One process of a run ended before its work was done."""


def this_rank() -> int:
    """Return the rank that torchrun's launcher gave to this process."""
    return int(os.environ["RANK"])


def start_processes(
    function: Callable[[T, Send], R],
    argument: T,
    *,
    count: int,
    on_message: Send,
    describe: Callable[[Exception], str],
) -> R:
    """Call `function(argument, send)` in `count` processes of this machine; return the first one's result.

    `on_message` gets what the first process sends, in a thread of this process. When one process or this one
    fails, the others are ended.

    Raises:
        ProcessDiedError: a process failed; the message has `describe` of the first error.
        SystemExit: this process got a signal to stop.
    """
    # importing the launcher takes a second
    from torch.distributed.elastic.multiprocessing import SignalException  # noqa: PLC0415
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.launcher.api import elastic_launch  # noqa: PLC0415

    receiver, sender = get_context("spawn").Pipe(duplex=False)
    reasons: dict[int, str] = {}
    listener = threading.Thread(target=_listen, args=(receiver, on_message, reasons), daemon=True)
    listener.start()
    with tempfile.TemporaryDirectory() as logs:
        launch = elastic_launch(_launch_settings(count, logs), _run_in_process)
        try:
            results = launch(function, argument, sender, describe)
        except ChildFailedError as error:
            sender.close()
            listener.join(_LINGER_SECONDS)  # until all messages have arrived
            rank, failure = error.get_first_failure()
            reason = reasons.get(rank) or _exit_reason(failure.exitcode)
            raise ProcessDiedError(f"process {rank + 1} of {count}: {reason}") from error
        except SignalException as error:
            raise SystemExit(128 + error.sigval) from error
    sender.close()
    listener.join(_LINGER_SECONDS)
    return results[0]


def _launch_settings(count: int, logs: str) -> Any:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs  # noqa: PLC0415 as above
    from torch.distributed.launcher.api import LaunchConfig  # noqa: PLC0415

    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(log_dir=logs),
    )


class _Failure(NamedTuple):
    rank: int
    reason: str


def _run_in_process(
    function: Callable[[T, Send], R], argument: T, sender: Connection, describe: Callable[[Exception], str]
) -> R:
    launcher = parent_process()
    assert launcher is not None, "the launcher starts this process"
    end_with_parent(launcher.join)
    send = sender.send if this_rank() == 0 else _discard
    try:
        return function(argument, send)
    except Exception as error:
        traceback.print_exc()
        sender.send(_Failure(this_rank(), describe(error)[:_LONGEST_REASON]))
        # Other processes fail because this one is missing, or this one because of another. The launcher takes the
        # process that ends first for the cause.
        time.sleep(_LINGER_SECONDS)
        raise


def _listen(receiver: Connection, on_message: Send, reasons: dict[int, str]) -> None:
    """Pass on messages, and note failures in `reasons`, until no process is left to send any."""
    with receiver, contextlib.suppress(EOFError):
        while True:
            message = receiver.recv()
            if isinstance(message, _Failure):
                reasons[message.rank] = message.reason
            else:
                on_message(message)


def _discard(_: object) -> None:
    pass


def _exit_reason(code: int) -> str:
    if code < 0:
        return f"killed by signal {-code} ({signal.Signals(-code).name}) (see worker.log)"
    return f"ended with exit code {code} (see worker.log)"
