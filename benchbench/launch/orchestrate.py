"""Carries out a plan: prepares data, launches the runs that are not done, writes tables and page."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from benchbench.data.atomic import check_writable
from benchbench.data.cache import using
from benchbench.errors import DataError, IntegrityError
from benchbench.extras import has_extra, install_command, require_extra
from benchbench.launch import Launcher, Listener, Observer, RunEvent
from benchbench.launch.equal_runs import with_equal_runs
from benchbench.launch.inline import launch_inline
from benchbench.launch.job_file import JobFileWriter
from benchbench.launch.machine import Machine, check_processes
from benchbench.launch.packing import Sharing, sharing_of
from benchbench.launch.preparation import Preparation
from benchbench.launch.process import process_launcher
from benchbench.launch.rounds import carry_out_in_rounds
from benchbench.plan.contamination import relatives_of
from benchbench.plan.needed_extras import needed_extras
from benchbench.plan.run import Run, RunKey
from benchbench.records.folder import ResultsFolder, results_folder
from benchbench.records.manifest import plan_manifest
from benchbench.records.record import Record
from benchbench.records.run_folder import LOCK_SECONDS, RunBusyError
from benchbench.registry.registry import Registry
from benchbench.report import write_page, write_tables
from benchbench.report.current import digest_inputs, is_current, remember_report
from benchbench.report.page.index import write_index
from benchbench.run.assignment import Assignment
from benchbench.run.execute import execute
from benchbench.run.external_run import check_external
from benchbench.spec.benchmark import Benchmark

_FIRST_TABLES = 10.0  # seconds from the start to the first update; a benchmark that ends sooner needs none
_TABLES_PAUSE = 20  # between two updates, as a multiple of the time that one takes


def carry_out(
    benchmark: Benchmark,
    runs: Sequence[Run],
    selected: Sequence[Run],
    *,
    registry: Registry,
    machine: Machine,
    observer: Observer,
    exits: Mapping[RunKey, str] | None = None,
) -> tuple[ResultsFolder, list[Record | None]]:
    """Carry out the selected runs that are not done, and write the report.

    Returns the results folder, and the records in the order of `selected`. `exits` has the runs whose model ends
    the process that builds it, and how: they fail without being started.

    Raises:
        UsageError: a run has more processes than there are devices, or Optuna is missing.
        StorageError: the results cannot be written.
        DataError: with every problem of every dataset, before anything is trained.
        IntegrityError: a file of a finished run was changed.
    """
    processes = max((run.protocol.world_size for run in selected), default=1)
    check_processes(machine, processes)
    check_writable(machine.results)  # before hours of preparation
    with using(machine.cache):
        preparation = Preparation(benchmark, registry, machine, observer)
        folder, assignments, unfinished = _plan(benchmark, runs, selected, preparation, machine)
        observer.on_runs_start(unfinished, done=len(assignments) - len(unfinished))
        if unfinished and not has_extra("tensorboard"):
            observer.on_remark(f"no event files are written; for TensorBoard, {install_command('tensorboard')}")
        startable = _without_exits(unfinished, exits or {}, observer)
        listener = partial(on_run_event, PeriodicTables(folder), observer)
        with report_at_end(folder, machine, observer):
            sharing = sharing_of(machine, assignments, processes=processes)
            _launch_all(_launcher(machine, processes, sharing), startable, assignments, listener)
            _remove_leftovers(assignments)
        return folder, [assignment.folder.read_record() for assignment in assignments]


def write_plan(
    benchmark: Benchmark,
    runs: Sequence[Run],
    selected: Sequence[Run],
    *,
    registry: Registry,
    machine: Machine,
    observer: Observer,
    exits: Mapping[RunKey, str] | None = None,
) -> Planned:
    """Prepare the data of the selected runs and write manifest and job file, by which `benchbench work` runs them.

    Predictions of other tools are scored here.

    Raises:
        StorageError: the results cannot be written.
        DataError: with every problem of every dataset.
        IntegrityError: a file of a finished run was changed.
    """
    check_writable(machine.results)
    with using(machine.cache):
        preparation = Preparation(benchmark, registry, machine, observer)
        planned = _plan(benchmark, runs, selected, preparation, machine)
        _discard_failures(planned.unfinished)  # to workers, a run that failed has ended
        others = _without_exits(planned.unfinished, exits or {}, observer)
        unfinished = _score_external(others, observer)
    return planned._replace(unfinished=unfinished)


class Planned(NamedTuple):
    """A plan whose data are prepared and whose job file is written."""

    folder: ResultsFolder
    assignments: list[Assignment]
    unfinished: list[Assignment]
    """Those that are not done."""


def _plan(
    benchmark: Benchmark,
    runs: Sequence[Run],
    selected: Sequence[Run],
    preparation: Preparation,
    machine: Machine,
) -> Planned:
    _check_extras(selected)  # before hours of preparation
    preparation.prepare_all(selected)
    is_phantom = preparation.is_phantom
    folder = results_folder(machine.results, benchmark.name, phantom=is_phantom)
    assignments = [preparation.assign(run, folder) for run in selected]
    assignments = with_equal_runs(assignments, runs, folder)
    _check_external(assignments)
    _check_finished(assignments)
    _discard_outdated_ensembles(runs, assignments, folder)
    unfinished = [assignment for assignment in assignments if assignment.has_work()]
    todo = {assignment.key for assignment in unfinished}
    preparation.verify_all([run for run in selected if run.key in todo])
    manifest = plan_manifest(
        benchmark,
        runs,
        phantom=is_phantom,
        dataset_facts=preparation.dataset_facts(runs),
        relatives=relatives_of(benchmark, preparation.registry),
    )
    folder.write_manifest(manifest)
    jobs = JobFileWriter(
        folder,
        machine.cache,
        save_predictions=machine.save_predictions,
        compress=machine.compress_cache,
    )
    for run, assignment in zip(selected, assignments, strict=True):
        if run.external is None:  # the predictions of other tools are on the machine that plans
            jobs.add(run, assignment, preparation.describe(run))
    jobs.write()
    return Planned(folder, assignments, unfinished)


def _check_extras(runs: Sequence[Run]) -> None:
    """Check that the packages that the settings of the runs need are installed."""
    for extra, setting in needed_extras(runs).items():
        require_extra(extra, setting)


def _discard_failures(assignments: Sequence[Assignment]) -> None:
    """Delete the records of runs that failed, to carry them out again, unless a process works on them."""
    for assignment in assignments:
        record = assignment.folder.read_record()
        if record is not None and record.status == "failed":
            with contextlib.suppress(RunBusyError), assignment.folder.lock(0):
                assignment.folder.discard("run.json")


def _without_exits(
    assignments: Sequence[Assignment], exits: Mapping[RunKey, str], observer: Observer
) -> list[Assignment]:
    """Record the failure of each run whose model ends the process that builds it, and return the other runs."""
    others: list[Assignment] = []
    for assignment in assignments:
        if assignment.key not in exits:
            others.append(assignment)
            continue
        reason = exits[assignment.key]
        record = assignment.record(status="failed", reason=reason, provenance={}, seconds=0.0)
        with assignment.folder.lock(LOCK_SECONDS):
            assignment.folder.write_record(record)
        observer.on_run_event(assignment.key, record)
    return others


def _launch_all(
    launch: Launcher, unfinished: Sequence[Assignment], assignments: Sequence[Assignment], listener: Listener
) -> None:
    if unfinished:
        carry_out_in_rounds(launch, unfinished, assignments, listener)


@contextlib.contextmanager
def report_at_end(folder: ResultsFolder, machine: Machine, observer: Observer) -> Iterator[None]:
    """Write the report after the runs, also where they fail or are interrupted."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):  # the first failure is the one to report
            observer.on_remark("stopping: tables, page and index are written")
            _write_report(folder, machine)
        raise
    _write_report(folder, machine)


def _write_report(folder: ResultsFolder, machine: Machine) -> None:
    write_current_report(folder, pictures=machine.pictures)
    write_index(machine.results)


def write_current_report(folder: ResultsFolder, *, pictures: bool) -> None:
    """Write tables and page, unless the last ones are of the same inputs and unaltered."""
    inputs = digest_inputs(folder, pictures=pictures)
    if is_current(folder, inputs):
        return
    results = write_tables(folder)
    write_page(folder, results, pictures=pictures)
    remember_report(folder, inputs, pictures=pictures)


def _score_external(assignments: Sequence[Assignment], observer: Observer) -> list[Assignment]:
    """Score the predictions of other tools in this process, and return the other runs."""
    external = [assignment for assignment in assignments if assignment.external is not None]
    if external:
        observer.on_runs_start(external, done=0)
    for assignment in external:
        listener = partial(observer.on_run_event, assignment.key)
        observer.on_run_event(assignment.key, execute(assignment, listener))
    return [assignment for assignment in assignments if assignment.external is None]


def _check_external(assignments: Sequence[Assignment]) -> None:
    """Raise DataError with every problem of the predictions of other tools that are not scored yet."""
    problems: list[str] = []
    for assignment in assignments:
        if assignment.external is not None and not assignment.is_done_by(assignment.folder.read_record()):
            problems += check_external(assignment)
    if problems:
        raise DataError(*problems)


def _check_finished(assignments: Sequence[Assignment]) -> None:
    """Refuse finished runs of which a file was changed, and remove what a process that died left there."""
    problems: list[str] = []
    for assignment in assignments:
        record = assignment.folder.read_record()
        if record is None or not assignment.is_done_by(record):
            continue
        try:
            assignment.folder.verify_all(record)
        except IntegrityError as error:
            problems += error.problems
        assignment.folder.remove_leftovers()
    if problems:
        raise IntegrityError(*problems)


def _remove_leftovers(assignments: Sequence[Assignment]) -> None:
    """Remove the claims of runs that are done, and what a process that died left there."""
    for assignment in assignments:
        if assignment.is_done_by(assignment.folder.read_record()):
            assignment.folder.remove_leftovers()


def _discard_outdated_ensembles(
    runs: Sequence[Run], assignments: Sequence[Assignment], folder: ResultsFolder
) -> None:
    """Delete the record of every ensemble, selected or not, of which a member will be trained again."""
    retrained = set()
    for assignment in assignments:
        if not assignment.is_done_by(assignment.folder.read_record()):
            retrained.add(assignment.key)
    for run in runs:
        if any(member.key in retrained for member in run.members):
            folder.run(run.key).discard("run.json")


def _launcher(machine: Machine, processes: int, sharing: Sharing) -> Launcher:
    if machine.jobs == 0:
        return launch_inline
    return process_launcher(machine, sharing, processes=processes)


def on_run_event(tables: PeriodicTables, observer: Observer, key: RunKey, event: RunEvent) -> None:
    """Pass an event to the observer, and update the tables when a run has ended."""
    observer.on_run_event(key, event)
    if isinstance(event, Record):
        tables.update()


class PeriodicTables:
    """Updates the tables while runs end, so that they are nearly complete even if the process is killed.

    An update reads all records. It is skipped until its share of the total time is small.
    """

    def __init__(self, folder: ResultsFolder) -> None:
        self._folder = folder
        self._next = time.monotonic() + _FIRST_TABLES

    def update(self) -> None:
        start = time.monotonic()
        if start < self._next:
            return
        write_tables(self._folder)
        end = time.monotonic()
        self._next = end + _TABLES_PAUSE * (end - start)
