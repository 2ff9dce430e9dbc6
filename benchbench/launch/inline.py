"""Carries out runs one after another in this process: for debuggers, notebooks and tests."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from functools import partial

from benchbench.launch import Listener
from benchbench.records.run_folder import RunBusyError
from benchbench.run.assignment import Assignment
from benchbench.run.execute import execute
from benchbench.run.stop_request import StoppedError


def launch_inline(assignments: Sequence[Assignment], listener: Listener) -> None:
    """Carry out the runs in their order."""
    for assignment in assignments:
        try:
            record = execute(assignment, partial(listener, assignment.key))
        except StoppedError as stopped:
            signal.raise_signal(stopped.number)  # for the handler of the command
            raise
        except RunBusyError as error:
            listener(assignment.key, error)
        else:
            listener(assignment.key, record)
