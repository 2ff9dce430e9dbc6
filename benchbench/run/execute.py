"""Carries out one run and leaves a record, inside the process that a launcher gives it."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace

from benchbench.engine.cost.gpu_use import watch_gpu
from benchbench.records.record import Record
from benchbench.records.run_folder import LOCK_SECONDS
from benchbench.run.assignment import Assignment, ProgressListener
from benchbench.run.ensemble_run import run_ensemble
from benchbench.run.environment import provenance_of
from benchbench.run.external_run import run_external
from benchbench.run.failures import describe_failure, is_expected
from benchbench.run.model_run import run_model, run_model_in_processes
from benchbench.run.predictions import add_missing_distances, export_masks
from benchbench.run.reporting import Reporters
from benchbench.run.row_run import carry_out_in_row, without_scores
from benchbench.run.run_cost import with_gpu_use
from benchbench.run.shared_results import take_over
from benchbench.run.stop_request import StoppedError
from benchbench.run.tuned_ensemble import run_tuned_ensemble
from benchbench.run.tuned_run import run_tuned


def execute(assignment: Assignment, report: ProgressListener) -> Record:
    """Carry out a run and write its record, even if it fails; a run that is done is not repeated.

    Raises:
        RunBusyError: another process is carrying out this run.
        StorageError: the record cannot be written.
        StoppedError: a signal asked this process to stop; there is no record, and the run resumes later.
    """
    with assignment.folder.lock(LOCK_SECONDS), assignment.folder.claimed() as folder:
        return _execute(replace(assignment, folder=folder), report)


def _execute(assignment: Assignment, report: ProgressListener) -> Record:
    """Do the same in the folder of a run that no other process touches."""
    start = time.monotonic()
    earlier = assignment.folder.read_record()
    if earlier is not None and assignment.is_done_by(earlier):
        record = add_missing_distances(assignment, earlier)
        export_masks(assignment, record)
        return record
    trained = None
    if assignment.siblings and earlier is not None and assignment.is_trained_by(earlier):
        trained = without_scores(earlier)
        assignment.folder.write_record(trained)
    else:
        assignment.folder.discard("run.json")
    reporters = Reporters(assignment, report)
    with watch_gpu(_device_to_watch(assignment)) as watch:
        record = _carry_out(assignment, reporters.listen, trained)
    cost = with_gpu_use(record.cost, watch.use())
    record = replace(record, seconds=time.monotonic() - start, cost=cost)
    assignment.folder.write_record(record)
    export_masks(assignment, record)
    if record.status != "failed":  # a run that failed for lack of memory or disk space resumes from its state
        assignment.folder.discard("resume.pt")
    reporters.end(record)
    return record


def _device_to_watch(assignment: Assignment) -> str:
    """Return the device of a run that uses one."""
    if assignment.external is not None or assignment.protocol.world_size > 1:
        return "cpu"
    return assignment.device


def _carry_out(assignment: Assignment, report: ProgressListener, trained: Record | None) -> Record:
    """Return the record of the run, or that of an equal run; an exception becomes a failed run with its reason.

    `trained` is the record of a run that waited for the other folds of its row; it waits again after an exception.
    """
    try:
        shared = take_over(assignment)
        if shared is not None and shared.status != "waiting":
            return shared
        if assignment.siblings:
            trained = trained or shared
            return carry_out_in_row(assignment, trained, lambda: _train(assignment, report))
        return _train(assignment, report)
    except StoppedError:
        raise  # no failure: the run resumes from its state
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and assignment.protocol.world_size > 1:
            raise  # a signal to stop
        if not is_expected(error):
            traceback.print_exc()
        return _record_failure(assignment, describe_failure(error))


def _record_failure(assignment: Assignment, reason: str) -> Record:
    """Return the record of a run that failed; one that is trained waits, so that only its scoring is repeated."""
    if assignment.siblings:
        waiting = assignment.folder.read_record()
        if waiting is not None and assignment.is_trained_by(waiting):
            return replace(waiting, reason=reason)
    return assignment.record(status="failed", reason=reason, provenance=provenance_of(assignment), seconds=0)


def _train(assignment: Assignment, report: ProgressListener) -> Record:
    if assignment.external is not None:
        return run_external(assignment)
    if assignment.tuning is not None:
        return run_tuned_ensemble(assignment) if assignment.members else run_tuned(assignment, report)
    if assignment.members:
        return run_ensemble(assignment)
    if assignment.protocol.world_size > 1:
        return run_model_in_processes(assignment, report, describe=describe_failure)
    return run_model(assignment, report)
