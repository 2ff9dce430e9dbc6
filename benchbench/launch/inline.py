"""Runs one after another in this process: for a debugger, a notebook, a test."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from benchbench.assignment import Assignment
from benchbench.execute import execute
from benchbench.launch import Listener
from benchbench.store import RunBusyError


def launch_inline(assignments: Sequence[Assignment], listen: Listener) -> None:
    """Carries out the runs in their order."""
    for assignment in assignments:
        try:
            listen(assignment.key, execute(assignment, partial(listen, assignment.key)))
        except RunBusyError as error:
            listen(assignment.key, error)
