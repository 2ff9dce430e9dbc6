"""The worker process of one run: reads its assignment from standard input, writes progress to standard output."""

from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import sys
import time
from dataclasses import asdict

from benchbench.engine.devices.parent_watch import end_with_parent
from benchbench.errors import BenchbenchError
from benchbench.launch.process import EXIT_BUSY
from benchbench.records.run_folder import RunBusyError
from benchbench.run.assignment import Assignment, Progress
from benchbench.run.execute import execute
from benchbench.run.stop_request import StoppedError

_REPORT_SECONDS = 0.5


def main() -> int:
    """Carry out the run; the exit code is 0 if there is a record."""
    assignment: Assignment = pickle.load(sys.stdin.buffer)  # noqa: S301 from the process that started us
    end_with_parent(_wait_for_parent)
    _log_to_stderr()
    # output of plugins goes to the log, so that standard output carries progress only
    reports = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    last = 0.0

    def report(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if progress.note or progress.remark or now - last > _REPORT_SECONDS:
            last = now
            reports.write(json.dumps(asdict(progress)) + "\n")

    try:
        execute(assignment, report)
    except StoppedError as stopped:
        signal.signal(stopped.number, signal.SIG_DFL)
        signal.raise_signal(stopped.number)  # so that the exit code names the signal
    except RunBusyError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_BUSY
    except BenchbenchError as error:
        sys.stderr.write(f"{error}\n")
        reports.write(json.dumps({"error": str(error)}) + "\n")
        return error.exit_code
    return 0


def _log_to_stderr() -> None:
    """Let everything that benchbench logs go to standard error, which is worker.log."""
    logger = logging.getLogger("benchbench")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.StreamHandler())


def _wait_for_parent() -> None:
    """Return when standard input is closed, which happens when the parent process ends."""
    os.read(0, 1)


if __name__ == "__main__":
    sys.exit(main())
