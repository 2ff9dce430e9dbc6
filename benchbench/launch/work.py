"""Carries out the runs of a job file on this machine, together with processes of other machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from benchbench.data.cache import using
from benchbench.launch import Listener
from benchbench.launch.job_assignments import Shard, open_jobs
from benchbench.launch.job_data import Roots
from benchbench.launch.machine import Machine, check_processes, most_per_device, settings_of_runs, threads_per_run
from benchbench.launch.packing import EVERY_SLOT, Sharing, sharing_of
from benchbench.launch.process import process_launcher
from benchbench.launch.work_queue import NO_LIMITS, Limits, WorkQueue
from benchbench.records.claims import renewing
from benchbench.records.folder import ResultsFolder
from benchbench.records.run_folder import RunBusyError
from benchbench.run.assignment import Assignment
from benchbench.run.execute import execute


def work(
    folder: ResultsFolder,
    machine: Machine,
    listener: Listener,
    *,
    roots: Roots,
    shard: Shard,
    limits: Limits = NO_LIMITS,
) -> list[Assignment]:
    """Carry out the runs of a shard that no other process claims, until none is left; return those of the shard.

    Raises:
        UsageError: a run has more processes than there are devices.
        IntegrityError: the job file is missing, damaged or of another version.
        IncompatibleError: a plugin or a dataset is not that of the plan.
        DataError: a case cannot be prepared.
    """
    with using(roots.cache):
        opened = open_jobs(folder, roots, shard=shard, device=machine.devices[0])
        settings = settings_of_runs(machine)
        assignments = [replace(assignment, settings=settings) for assignment in opened]
        processes = max((assignment.protocol.world_size for assignment in assignments), default=1)
        check_processes(machine, processes)
        sharing = sharing_of(machine, assignments, processes=processes)
        queue = WorkQueue(assignments, listener, limits, sharing)
        with renewing(queue.renew):
            try:
                serve(queue, machine, listener, processes=processes, sharing=sharing)
            finally:
                queue.release_all()
    return assignments


def serve(
    queue: WorkQueue, machine: Machine, listener: Listener, *, processes: int, sharing: Sharing = EVERY_SLOT
) -> None:
    """Carry out the runs of a queue as the options of the machine say."""
    if machine.jobs == 0:
        threads = threads_per_run(machine, processes)
        _serve_inline(queue, listener, threads=threads, runs_per_device=most_per_device(machine))
        return
    process_launcher(machine, sharing, processes=processes).serve(queue, listener)


def _serve_inline(queue: WorkQueue, listener: Listener, *, threads: int, runs_per_device: int) -> None:
    while (claimed := queue.take()) is not None:
        assignment = replace(claimed, threads=threads, runs_per_device=runs_per_device)
        try:
            listener(assignment.key, execute(assignment, partial(listener, assignment.key)))
        except RunBusyError as error:
            listener(assignment.key, error)
        finally:
            queue.finish(assignment)


def unfinished(assignments: Sequence[Assignment]) -> list[Assignment]:
    """Return the runs that are not done."""
    return [assignment for assignment in assignments if assignment.has_work()]
