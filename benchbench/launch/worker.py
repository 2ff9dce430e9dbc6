"""The process of one run: reads its assignment from standard input, reports progress on standard output."""

from __future__ import annotations

import json
import os
import pickle
import sys
import threading
import time
from dataclasses import asdict

from benchbench.launch.process import BUSY
from benchbench.results.run_folder import RunBusyError
from benchbench.run.assignment import Assignment, Progress
from benchbench.run.execute import execute

_REPORT_SECONDS = 0.5


def main() -> int:
    """Carries out the run; the exit code says only whether there is a record."""
    assignment: Assignment = pickle.load(sys.stdin.buffer)  # noqa: S301 from the process that started us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # whatever a plugin prints goes to the log; only progress goes to the parent
    reports = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    last = 0.0

    def report(progress: Progress) -> None:
        nonlocal last
        if progress.note or time.monotonic() - last > _REPORT_SECONDS:
            last = time.monotonic()
            reports.write(json.dumps(asdict(progress)) + "\n")

    try:
        execute(assignment, report)
    except RunBusyError as error:
        sys.stderr.write(f"{error}\n")
        return BUSY
    return 0


def _end_with_parent() -> None:
    """Ends this process when the parent dies: without it nobody would hear of the run."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
