"""The runs that one of several workers takes: it claims each before it starts, so that no other carries it out."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchbench.errors import storage_error
from benchbench.launch import Listener
from benchbench.launch.attempts import UNUSED, Attempts, outcome_of, read_attempts
from benchbench.launch.machine import Slot
from benchbench.launch.packing import EVERY_SLOT, Sharing
from benchbench.plan.run import RunKey
from benchbench.records.claims import INTERRUPTED, LOST, Claim, active_claim, last_claim, try_claim
from benchbench.records.record import Record
from benchbench.records.run_folder import RunBusyError
from benchbench.run.assignment import Assignment
from benchbench.words import count

POLL_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of what one process does for a queue."""

    wait_seconds: float | None = None
    """It ends after others have carried out all that is left for so long; None to wait until they are done."""
    most_runs: int | None = None
    """It ends after so many runs."""
    most_losses: int = 5
    """A run whose workers were lost more often than this has failed."""


NO_LIMITS = Limits()


class WorkQueue:
    """Gives the assignments that this process could claim, in their order.

    An ensemble follows when all its members have ended, a run after an earlier one with the same digest, and a run
    that waits for the other folds of its row when they are trained. A run that ran out of memory is given once
    more when no other run of this process is active, and none is given until it has ended.
    """

    def __init__(
        self,
        assignments: Sequence[Assignment],
        listener: Listener,
        limits: Limits = NO_LIMITS,
        sharing: Sharing = EVERY_SLOT,
    ) -> None:
        """Take the assignments from which runs are claimed.

        `listener` gets the runs that end here without being carried out; `sharing` decides which share a GPU.
        """
        self._sharing = sharing
        self._open = {assignment.key: assignment for assignment in assignments}
        self._by_digest: dict[str, list[RunKey]] = {}
        for assignment in assignments:
            self._by_digest.setdefault(assignment.digest, []).append(assignment.key)
        self._listener = listener
        self._limits = limits
        self._remaining = limits.most_runs
        self._active: dict[RunKey, Claim] = {}
        self._alone: RunKey | None = None
        self._tried: set[RunKey] = set()
        """Runs that nothing but this process could complete, and that it has tried to complete."""
        self._is_stopping = False
        self._changed = threading.Condition()

    def take(self, slot: Slot = ()) -> Assignment | None:
        """Return a run for a slot that this process has claimed; None when all have ended or others do them."""
        waiting_since = time.monotonic()
        with self._changed:
            while not self._is_stopping:
                if self._remaining == 0:
                    return None
                claimed = self._claim_next(slot)
                if claimed is not None:
                    return claimed
                if not self._open:
                    return None
                if self._active:
                    waiting_since = time.monotonic()
                elif self._has_waited(since=waiting_since):
                    return None
                self._changed.wait(POLL_SECONDS)
        return None

    def _has_waited(self, *, since: float) -> bool:
        limit = self._limits.wait_seconds
        return limit is not None and time.monotonic() - since >= limit

    def finish(self, assignment: Assignment) -> None:
        """Release the claim of a run with its outcome."""
        self._release(assignment, outcome_of(self._read_end(assignment)))

    def _release(self, assignment: Assignment, outcome: str) -> None:
        with self._changed:
            claim = self._active.pop(assignment.key, None)
            self._sharing.end(assignment.key)
            if self._alone == assignment.key:
                self._alone = None
        if claim is None:  # released by `release_all`
            return
        with contextlib.suppress(OSError):  # the claim then expires
            claim.release(outcome)
        with self._changed:
            self._changed.notify_all()

    def repeat_alone(self, assignment: Assignment) -> bool:  # noqa: ARG002
        """Return False: the claim of the run says how it ended, and another process may repeat it."""
        return False

    def repeat_stopped(self, assignment: Assignment) -> bool:
        """Release the claim of a run whose worker a signal stopped as lost, so that a worker continues the run.

        A cluster signals each process of a job in turn, and this one may be the last, or be passed over.
        """
        record = self._read_end(assignment)
        if record is not None and (record.status != "waiting" or record.reason):
            return False
        self._tried.discard(assignment.key)
        self._release(assignment, LOST)
        return True

    def clear(self) -> None:
        """Give no further runs."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()

    def release_all(self) -> None:
        """Release the claims of runs that could not be stopped in time, for another process to continue them."""
        with self._changed:
            claims = list(self._active.values())
            self._active.clear()
        for claim in claims:
            with contextlib.suppress(OSError):  # the claim then expires
                claim.release(INTERRUPTED)

    def renew(self) -> None:
        """Renew the claims of all active runs."""
        with self._changed:
            claims = list(self._active.values())
        for claim in claims:
            claim.renew()

    def _read_end(self, assignment: Assignment) -> Record | None:
        record = assignment.folder.read_record()
        return record if record is not None and record.digest == assignment.digest else None

    def _claim_next(self, slot: Slot) -> Assignment | None:
        """Claim the first run that waits for no other if it can start in the slot; forget ended ones."""
        if self._alone is not None:
            return None
        for key, assignment in list(self._open.items()):
            if key in self._active or _is_claimed(assignment):
                continue
            if self._has_ended(assignment):
                del self._open[key]
                continue
            if self._is_blocked(assignment):
                continue
            if not self._sharing.admits(assignment, slot):
                return None
            claimed = self._claim(assignment)
            if claimed is not None:
                return self._sharing.start(claimed, slot)
        return None

    def _has_ended(self, assignment: Assignment) -> bool:
        record = self._read_end(assignment)
        if record is None:
            return False
        if not assignment.has_work() or assignment.key in self._tried:
            return True
        if record.status == "failed":
            return not read_attempts(assignment.folder).is_out_of_memory
        if record.status == "waiting":
            # a fold that ended without being trained never comes
            awaited = assignment.awaited_folds()
            siblings = [assignment.key._replace(fold=fold) for fold in awaited]
            return bool(awaited) and not any(key in self._open for key in siblings)
        return False

    def _is_blocked(self, assignment: Assignment) -> bool:
        """Return True for a run that needs the files of another run which has not ended."""
        if any(member.key in self._open for member in assignment.members):
            return True
        equal = self._by_digest[assignment.digest]
        for key in equal[: equal.index(assignment.key)]:
            if key in self._open and not _is_trained(self._open[key]):
                return True
        return _is_trained(assignment) and bool(assignment.awaited_folds())

    def _claim(self, assignment: Assignment) -> Assignment | None:
        """Return the run with a claim; None where another process was faster, or where nothing is left to do."""
        if read_attempts(assignment.folder).is_out_of_memory and self._active:
            return None
        try:
            claim = try_claim(assignment.folder.path)
        except OSError as error:
            del self._open[assignment.key]
            self._listener(assignment.key, storage_error(error, assignment.folder.path))
            return None
        if claim is None:
            return None
        folder = replace(assignment.folder, claim=claim)
        attempts = read_attempts(folder, before=claim.number)
        claimed = replace(assignment, folder=folder, retries=attempts.lines)
        if self._has_ended(assignment):  # at another process, before it released its claim
            claim.release(UNUSED)
            return None
        if attempts.losses > self._limits.most_losses:
            self._give_up(claimed, claim, attempts)
            return None
        return self._start(claimed, claim, attempts)

    def _start(self, assignment: Assignment, claim: Claim, attempts: Attempts) -> Assignment:
        self._active[assignment.key] = claim
        if attempts.is_out_of_memory:
            self._alone = assignment.key
        record = self._read_end(assignment)
        is_complete = record is not None and assignment.is_done_by(record)
        if is_complete or _is_trained(assignment):
            self._tried.add(assignment.key)
        if self._remaining is not None:
            self._remaining -= 1
        return assignment

    def _give_up(self, assignment: Assignment, claim: Claim, attempts: Attempts) -> None:
        """Record that a run failed because its workers were lost."""
        reason = f"its worker was lost {count(attempts.losses, 'time')}: see worker.log and the log of the machine"
        record = assignment.record(status="failed", reason=reason, provenance={}, seconds=0.0)
        with contextlib.suppress(RunBusyError):
            assignment.folder.write_record(record)
        claim.release(record.status)
        del self._open[assignment.key]
        self._listener(assignment.key, record)


def _is_claimed(assignment: Assignment) -> bool:
    """Return True if another process carries out a run; a claim that nobody renews any more does not count."""
    last = last_claim(assignment.folder.path)
    return last is not None and last.holder is not None and active_claim(assignment.folder.path) is not None


def _is_trained(assignment: Assignment) -> bool:
    """Return True for a run that is trained and chooses thresholds together with other folds."""
    return bool(assignment.siblings) and assignment.is_trained_by(assignment.folder.read_record())
