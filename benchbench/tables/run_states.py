"""The state of each planned run of a results folder that several machines share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from benchbench.errors import StorageError, storage_error
from benchbench.plan.run import RunKey
from benchbench.records.claims import file_system_time, last_claim
from benchbench.records.folder import ResultsFolder
from benchbench.records.history import HISTORY_NAME
from benchbench.records.run_folder import RunFolder
from benchbench.records.trial_counts import count_trials

OPEN_STATES = frozenset({"to do", "running", "lost"})
"""States of runs that a worker still carries out."""


class RunState(NamedTuple):
    """The state of a run."""

    key: RunKey
    state: str
    machine: str
    """The machine and the process that carry out the run, '' where nobody does."""
    epochs: str
    """Number of epochs in the history of the run, '' where there is none."""
    trials: str
    """Number of trials that a tuned run has ended and its budget, '' for other runs."""
    reason: str
    """Why the run failed, diverged or waits."""


def run_states(folder: ResultsFolder) -> list[RunState]:
    """Return the state of each planned run, in the order of the plan.

    Raises:
        IntegrityError: the manifest or a record was damaged or edited.
        StorageError: the clock of the file system cannot be read, because the folder cannot be written.
    """
    try:
        now = file_system_time(folder.path)
    except OSError as error:
        raise _no_clock(error, folder) from error
    runs = folder.read_manifest().runs
    return [_state(run.key, run.digest, folder.run(run.key), now) for run in runs]


def count_states(states: Sequence[RunState]) -> dict[str, int]:
    """Return the number of runs in each state, the most frequent one first."""
    return dict(Counter(state.state for state in states).most_common())


def _no_clock(error: OSError, folder: ResultsFolder) -> StorageError:
    return storage_error(OSError(error.errno, error.strerror), folder.path)


def _state(key: RunKey, digest: str, run: RunFolder, now: float) -> RunState:
    record = run.read_record()
    claim = last_claim(run.path)
    trials = count_trials(run.path)
    if claim is not None and claim.holder is not None:
        machine = f"{claim.holder.host}, process {claim.holder.process}"
        return RunState(key, "running" if claim.is_active(now) else "lost", machine, _epochs(run), trials, "")
    if record is None or record.digest != digest:
        return RunState(key, "to do", "", _epochs(run), trials, "")
    return RunState(key, record.status, "", _epochs(run), trials, record.reason)


def _epochs(run: RunFolder) -> str:
    """Return the number of lines of the history, without its heading."""
    try:
        lines = (run.path / HISTORY_NAME).read_bytes().count(b"\n")
    except OSError:
        return ""
    return str(max(0, lines - 1))
