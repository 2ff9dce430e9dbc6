"""Carries out runs in rounds, where thresholds are chosen over all folds of a row: training first, then scoring.

A run of such a row waits after its training until the other folds are trained, and an ensemble until its members
are scored. All other runs end in the first round.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchbench.launch import Launcher, Listener, RunEvent
from benchbench.plan.run import RunKey
from benchbench.records.record import Record
from benchbench.run.assignment import Assignment, Progress


def carry_out_in_rounds(
    launch: Launcher, unfinished: Sequence[Assignment], assignments: Sequence[Assignment], listener: Listener
) -> None:
    """Carry out the unfinished runs among the assignments, and again those that have waited for others.

    The listener gets the record of a run when the run needs no further round.
    """
    listen = _WithoutWaits(listener, unfinished)
    networks_first, ensembles_later = _split(unfinished)
    launch(networks_first, listen)
    networks, ensembles = _split(assignments)
    launch(_continued(networks), listen)
    launch(ensembles_later, listen)
    launch(_continued(ensembles), listen)
    listen.report_waits()


def _split(assignments: Sequence[Assignment]) -> tuple[list[Assignment], list[Assignment]]:
    """Return the assignments without those ensembles that choose thresholds over folds, and those ensembles."""
    ensembles = [assignment for assignment in assignments if assignment.members and assignment.siblings]
    others = [assignment for assignment in assignments if not (assignment.members and assignment.siblings)]
    return others, ensembles


class _WithoutWaits:
    """Passes events on, but the record of a run that waits for others as a remark."""

    def __init__(self, listener: Listener, unfinished: Sequence[Assignment]) -> None:
        self._listener = listener
        self._epochs = {assignment.key: assignment.protocol.epochs for assignment in unfinished}
        self._waiting: dict[RunKey, Record] = {}

    def __call__(self, key: RunKey, event: RunEvent) -> None:
        if not isinstance(event, Record):
            self._listener(key, event)
            return
        if key not in self._epochs:  # a run that was done before is scored by other thresholds
            return
        if event.status == "waiting":
            self._waiting[key] = event
            epochs = self._epochs[key]
            self._listener(key, Progress(epochs, epochs, remark=event.reason))
            return
        self._waiting.pop(key, None)
        self._listener(key, event)

    def report_waits(self) -> None:
        """Pass on the records of the runs that still wait."""
        for key, record in self._waiting.items():
            self._listener(key, record)


def _continued(assignments: Sequence[Assignment]) -> list[Assignment]:
    """Return the trained runs for which no fold is missing any more, or whose row has other candidates now."""
    ready = []
    for assignment in assignments:
        record = assignment.folder.read_record()
        is_open = assignment.siblings and not assignment.is_done_by(record)
        if is_open and assignment.is_trained_by(record) and not assignment.awaited_folds():
            ready.append(assignment)
    return ready
