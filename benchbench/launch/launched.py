"""Carries out a plan by workers that a launcher plugin starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

from benchbench.launch import Observer, RunEvent
from benchbench.launch.event_lines import parse_event
from benchbench.launch.launcher_options import ChosenLauncher
from benchbench.launch.machine import Machine
from benchbench.launch.orchestrate import PeriodicTables, Planned, on_run_event, report_at_end, write_plan
from benchbench.launch.work_order import order_work
from benchbench.plan.run import Run, RunKey
from benchbench.records.record import Record
from benchbench.registry.registry import Registry
from benchbench.spec.benchmark import Benchmark


def launch(
    launcher: ChosenLauncher,
    benchmark: Benchmark,
    runs: Sequence[Run],
    selected: Sequence[Run],
    *,
    registry: Registry,
    machine: Machine,
    device: Literal["auto", "cpu"],
    observer: Observer,
    exits: Mapping[RunKey, str] | None = None,
) -> Planned:
    """Write the plan of the selected runs and let a launcher start workers for those that are not done.

    A launcher that is not detached returns when the workers have ended; the report is then written.

    Raises:
        UsageError: the launcher cannot start workers with its options.
        StorageError: the results cannot be written.
        DataError: with every problem of every dataset.
        IntegrityError: a file of a finished run was changed.
    """
    planned = write_plan(
        benchmark, runs, selected, registry=registry, machine=machine, observer=observer, exits=exits
    )
    is_detached = launcher.plugin.is_detached
    print_line: Callable[[str], None] = observer.on_remark
    if not is_detached:
        keys = {assignment.key for assignment in planned.assignments}
        listener = partial(on_run_event, PeriodicTables(planned.folder), observer)
        print_line = partial(_pass_on, keys, listener, observer)
    order = order_work(planned, machine, device=device, is_detached=is_detached, print_line=print_line)
    observer.on_runs_start(planned.unfinished, done=len(planned.assignments) - len(planned.unfinished))
    if is_detached and order.runs:
        launcher.plugin.launch(order, **launcher.options)
        return planned
    with report_at_end(planned.folder, machine, observer):
        if order.runs:
            launcher.plugin.launch(order, **launcher.options)
    return planned


def read_records(planned: Planned) -> list[Record | None]:
    """Return the records of all planned runs; None for a run that has not ended."""
    return [assignment.folder.read_record() for assignment in planned.assignments]


def _pass_on(
    keys: set[RunKey], listener: Callable[[RunKey, RunEvent], None], observer: Observer, line: str
) -> None:
    """Pass the event of a worker's line to the listener; show any other line as it is."""
    parsed = parse_event(line)
    if parsed is None:
        if line.strip():
            observer.on_remark(line.rstrip())
        return
    key, event = parsed
    if key in keys:
        listener(key, event)
