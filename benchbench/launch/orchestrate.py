"""Carries out a plan: data, preparation, folds, what is still to do, runs, tables."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol as Interface

from benchbench.contract import CaseRef, Dataset
from benchbench.data.cache import mark_used, using
from benchbench.data.case_names import name_problems
from benchbench.data.digests import case_digests, dataset_digest
from benchbench.data.duplicates import duplicates
from benchbench.data.folder import open_dataset
from benchbench.data.folds import PARTS, Fold, make_folds
from benchbench.data.phantom import is_phantom, phantom_root
from benchbench.data.pinned import pin
from benchbench.engine.preparation.prepare import PreparedCase, preparation_of, prepare_cases
from benchbench.errors import DataError, UsageError
from benchbench.launch import Launcher, Outcome
from benchbench.launch.inline import launch_inline
from benchbench.launch.process import ProcessLauncher
from benchbench.plan.run import Chosen, Run, RunKey
from benchbench.registry.registry import Registry
from benchbench.report import write_page, write_tables
from benchbench.report.page.index import write_index
from benchbench.results.folder import ResultsFolder, results_folder
from benchbench.results.manifest import plan_manifest
from benchbench.results.record import Record
from benchbench.run.assignment import Assignment
from benchbench.spec.benchmark import Benchmark

_TABLES_SHARE = 20  # their time against that between them


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where files lie and what computes."""

    results: Path
    cache: Path
    data_root: Path | None
    devices: tuple[str, ...]
    jobs: int | None
    """Runs at a time; None for one a device, 0 for this process."""
    compress_cache: bool = False
    """Whether prepared cases are compressed on the disk, and unpacked into memory."""
    save_predictions: bool = False
    """Whether each run leaves its predictions as NIfTI files."""
    pictures: bool = True
    """Whether galleries show test cases."""


class Observer(Interface):
    """Hears how the work goes."""

    def preparing(self, dataset: str, cases: int) -> None:
        """Cases are about to be read and prepared."""

    def prepared(self) -> None:
        """One more case is."""

    def starting(self, assignments: Sequence[Assignment], *, done: int) -> None:
        """These runs are about to begin; `done` others are done already."""

    def heard(self, key: RunKey, outcome: Outcome) -> None:
        """A run has got on, ended, or could not begin."""


def carry_out(
    benchmark: Benchmark,
    runs: Sequence[Run],
    selected: Sequence[Run],
    *,
    registry: Registry,
    machine: Machine,
    observer: Observer,
) -> tuple[ResultsFolder, list[Record | None]]:
    """Does what is not done of the selected runs and writes the tables; records in the order of `selected`.

    Raises:
        UsageError: a run has more processes than there are devices for.
        DataError: with every fault of every dataset, before anything is trained.
    """
    _check_processes(machine, _processes(selected))
    with using(machine.cache):
        return _carry_out(benchmark, runs, selected, _Preparation(benchmark, registry, machine, observer))


def _carry_out(
    benchmark: Benchmark, runs: Sequence[Run], selected: Sequence[Run], preparation: _Preparation
) -> tuple[ResultsFolder, list[Record | None]]:
    machine, observer = preparation.machine, preparation.observer
    preparation.open_all(selected)
    folder = results_folder(machine.results, benchmark.name, phantom=preparation.phantom)
    assignments = [preparation.assign(run, folder) for run in selected]
    _discard_outdated(runs, assignments, folder)
    waiting = [each for each in assignments if _has_work(each)]
    folder.write_manifest(plan_manifest(benchmark, runs, phantom=preparation.phantom))
    observer.starting(waiting, done=len(assignments) - len(waiting))
    try:
        if waiting:
            _launcher(machine, _processes(selected))(waiting, partial(_hear, _Tables(folder), observer))
    finally:
        results = write_tables(folder)
    write_page(folder, results, pictures=machine.pictures)  # not before a process ends that was told to
    write_index(machine.results)
    return folder, [each.folder.read_record() for each in assignments]


def _discard_outdated(runs: Sequence[Run], assignments: Sequence[Assignment], folder: ResultsFolder) -> None:
    """Takes away the record of every ensemble, asked for or not, of which a member is to be trained again."""
    again = {each.key for each in assignments if not each.is_done_by(each.folder.read_record())}
    for run in runs:
        if not again.isdisjoint(member.key for member in run.members):
            folder.run(run.key).discard("run.json")


def _has_work(assignment: Assignment) -> bool:
    is_done = assignment.is_done_by(assignment.folder.read_record())
    return not is_done or bool(assignment.unmeasured()) or assignment.unexported()


def _hear(tables: _Tables, observer: Observer, key: RunKey, outcome: Outcome) -> None:
    observer.heard(key, outcome)
    if isinstance(outcome, Record):
        tables.write()


class _Tables:
    """The tables while runs end: whoever looks, or pulls the plug, finds those of nearly all that is done.

    They are made from all records, so that after many runs they wait until they are a small share of the time.
    """

    def __init__(self, folder: ResultsFolder) -> None:
        self._folder = folder
        self._next = 0.0

    def write(self) -> None:
        start = time.monotonic()
        if start >= self._next:
            write_tables(self._folder)
            end = time.monotonic()
            self._next = end + _TABLES_SHARE * (end - start)


class _Preparation:
    """Opens each dataset once and prepares each way of using it once, for all the runs of a plan."""

    def __init__(self, benchmark: Benchmark, registry: Registry, machine: Machine, observer: Observer) -> None:
        self.phantom = benchmark.rehearsal is not None
        self._benchmark = benchmark
        self._registry = registry
        self.machine = machine
        self.observer = observer
        self._opened: dict[str, tuple[Dataset, Sequence[CaseRef], dict[str, str]]] = {}
        self._prepared: dict[str, dict[str, PreparedCase]] = {}
        self._folds: dict[str, list[Fold]] = {}

    def open_all(self, runs: Sequence[Run]) -> None:
        """Opens, prepares and splits all that the runs need."""
        faults: dict[str, None] = {}
        for run in {_use(run): run for run in runs}.values():
            try:
                self._open(run)
            except DataError as error:
                faults.update(dict.fromkeys(error.problems))
        if faults:
            raise DataError(*faults)

    def assign(self, run: Run, folder: ResultsFolder) -> Assignment:
        """A run with all that a worker needs."""
        dataset, _, digests = self._opened[_identity(run.dataset)]
        prepared = self._prepared[_use(run)]
        fold = self._folds[_use(run)][run.fold]
        parts = {part: tuple(prepared[case.id] for case in fold.part(part)) for part in PARTS}
        return Assignment(
            key=run.key,
            protocol=run.protocol,
            resolved=run.resolved(),
            digest=run.digest,
            data_digest=dataset_digest(digests),
            split_digest=fold.digest,
            entry_point="" if run.members else self._registry.models[run.model.name].origin.entry_point,
            model_params=run.model.params,
            channels=dataset.task.channels,
            regions=tuple(dataset.task.regions),
            label_values=dataset.task.regions,
            colours=dataset.task.colours,
            train=parts["train"],
            validation=parts["validation"],
            test=parts["test"],
            folder=folder.run(run.key),
            device=self.machine.devices[0],
            threads=threads_per_run(self.machine),
            save_predictions=self.machine.save_predictions,
            members=tuple(self.assign(member, folder) for member in run.members),
        )

    def _open(self, run: Run) -> None:
        identity, use = _identity(run.dataset), _use(run)
        if identity not in self._opened:
            dataset = self._find(run.dataset)
            cases = dataset.cases()
            if problems := list(name_problems(cases)):
                raise DataError(*problems)
            pinned = pin(dataset, cases)
            self._opened[identity] = (pinned, cases, case_digests(dataset, cases, threads=_cores()))
        opened, cases, digests = self._opened[identity]
        # before the work of preparing: too few patients are known at once
        self._folds[use] = make_folds(cases, folds=run.protocol.folds, validation=run.protocol.validation)
        self.observer.preparing(run.dataset.name, len(cases))
        self._prepared[use] = prepare_cases(
            opened,
            digests,
            protocol=run.protocol,
            recipe=identity,
            cache=self.machine.cache,
            threads=_cores(),
            progress=self.observer.prepared,
            compress=self.machine.compress_cache,
        )
        mark_used(each.folder for each in self._prepared[use].values())
        if problems := list(duplicates((each.case, each.voxels()) for each in self._prepared[use].values())):
            raise DataError(*problems)

    def _find(self, chosen: Chosen) -> Dataset:
        plugin = self._registry.dataset(chosen.name)
        root = self.machine.data_root
        if self._benchmark.rehearsal is not None:
            root = phantom_root(plugin, self._benchmark.rehearsal, cache=self.machine.cache)
            mark_used([root])
        dataset = open_dataset(plugin, chosen.params, data_root=root)
        assert root is not None, "open_dataset refuses that"
        self.phantom = self.phantom or is_phantom(root / plugin.name)
        return dataset


def threads_per_run(machine: Machine, processes: int = 1) -> int:
    """Each run's share of the cores, all of its processes together."""
    return max(1, _cores() // max(1, len(_slots(machine, processes))))


def _processes(runs: Sequence[Run]) -> int:
    """Of the run that has the most."""
    return max((run.protocol.world_size for run in runs), default=1)


def _check_processes(machine: Machine, processes: int) -> None:
    """Refuses runs of more processes than there are devices for; a CPU serves any number."""
    if processes == 1:
        return
    if machine.jobs == 0:
        raise UsageError(
            f"--jobs 0: one process, but protocol.world_size is {processes}; leave --jobs out or set that to 1"
        )
    devices = set(machine.devices)
    if devices != {"cpu"} and ("cpu" in devices or len(devices) < processes):
        raise UsageError(
            f"--device {','.join(machine.devices)}: expected cpu alone or {processes} GPUs, one for each"
            " process of a run; name as many or lower protocol.world_size"
        )


def _slots(machine: Machine, processes: int) -> tuple[tuple[str, ...], ...]:
    """For each of the runs that go on at a time the devices of its processes."""
    devices = machine.devices if processes == 1 else tuple(dict.fromkeys(machine.devices))
    count = max(1, len(devices) // processes) if machine.jobs is None else machine.jobs
    return tuple(
        tuple(devices[(slot * processes + number) % len(devices)] for number in range(processes))
        for slot in range(count)
    )


def _launcher(machine: Machine, processes: int) -> Launcher:
    if machine.jobs == 0:
        return launch_inline
    return ProcessLauncher(slots=_slots(machine, processes), threads=threads_per_run(machine, processes))


def _identity(chosen: Chosen) -> str:
    return f"{chosen.name} {dict(chosen.params)} {chosen.source_digest}"


def _use(run: Run) -> str:
    """Names all that preparation and folds depend on."""
    protocol = run.protocol
    used = (preparation_of(protocol), protocol.folds, protocol.validation)
    return f"{_identity(run.dataset)} {used}"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
