"""Runs one after another in this process: for a debugger, a notebook, a test."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchbench.launch import Listener
from benchbench.results.run_folder import RunBusyError
from benchbench.run.assignment import Assignment
from benchbench.run.execute import execute


def launch_inline(assignments: Sequence[Assignment], listen: Listener) -> None:
    """Carries out the runs in their order."""
    for assignment in assignments:
        try:
            listen(assignment.key, execute(assignment, partial(listen, assignment.key)))
        except RunBusyError as error:
            listen(assignment.key, error)
