"""The assignments of a job file on this machine, and the part of them that one machine of several carries out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchbench.data.folds import PARTS
from benchbench.engine.preparation.moved_labels import move_labels
from benchbench.engine.preparation.statistics import read_statistics
from benchbench.launch.equal_runs import with_equal_runs
from benchbench.launch.job_data import DataOfJobs, Roots, check_source
from benchbench.launch.job_file import JobFile, PlannedJob, read_job_file, runs_of
from benchbench.launch.preparation import metadata_of
from benchbench.plan.run import Run, RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.registry.parameters import resolve_params
from benchbench.registry.registry import Registry, discover
from benchbench.registry.sources import source_digest
from benchbench.run.assignment import Assignment, Sibling


class Shard(NamedTuple):
    """The part of the runs that one machine of `total` carries out, counted from 0."""

    number: int = 0
    total: int = 1


@dataclass(frozen=True)
class _Jobs:
    """A job file with what this machine makes of it."""

    file: JobFile
    runs: Sequence[Run]
    folder: ResultsFolder
    data: Sequence[DataOfJobs]
    registry: Registry
    device: str


def open_jobs(folder: ResultsFolder, roots: Roots, *, shard: Shard, device: str) -> list[Assignment]:
    """Return the assignments of a shard in the order of the plan, with all their cases prepared on this machine.

    Raises:
        IntegrityError: the job file is missing, damaged or of another version.
        IncompatibleError: a plugin or a dataset is not that of the plan.
        DataError: a case cannot be prepared.
    """
    file = read_job_file(folder)
    runs = runs_of(file, folder)
    numbers = _numbers_of(file, runs, shard)
    points = {file.jobs[number].entry_point for number in range(len(runs)) if file.jobs[number].entry_point}
    registry = discover(points)
    protocols = {job.protocol: run.protocol for job, run in zip(file.jobs, runs, strict=True)}
    compress = file.compress_cache
    data = [DataOfJobs(content, protocols[content.protocol], roots, compress) for content in file.data]
    jobs = _Jobs(file, runs, folder, data, registry, device)
    _check_sources(jobs, numbers)
    for number, names in _cases_of(file, numbers).items():
        data[number].provide(names)
    assignments = [_assign(jobs, number) for number in numbers]
    return with_equal_runs(assignments, runs, folder)


def _numbers_of(file: JobFile, runs: Sequence[Run], shard: Shard) -> list[int]:
    """Return the numbers of the selected jobs of a shard.

    Runs that need files of each other belong to one shard: an ensemble and its members, the folds of a row that
    choose thresholds together, and runs of one digest.
    """
    groups = _connected(runs)
    names = dict.fromkeys(groups[number] for number in file.selected)
    chosen = {name for position, name in enumerate(names) if position % shard.total == shard.number}
    return [number for number in file.selected if groups[number] in chosen]


def _connected(runs: Sequence[Run]) -> list[int]:
    """Return, for each run, the number of the first run of its group."""
    groups = list(range(len(runs)))

    def first_of(number: int) -> int:
        while groups[number] != number:
            groups[number] = groups[groups[number]]
            number = groups[number]
        return number

    known: dict[RunKey | str, int] = {}
    for number, run in enumerate(runs):
        related = [*run.members, *run.siblings]
        names: list[RunKey | str] = [run.key, run.digest]
        names += [other.key for other in related]
        for name in names:
            first, second = sorted([first_of(known.setdefault(name, number)), first_of(number)])
            groups[second] = first
    return [first_of(number) for number in range(len(runs))]


def _check_sources(jobs: _Jobs, numbers: Sequence[int]) -> None:
    """Compare the source of every model, of members too, with that of the plan."""
    checked: set[str] = set()
    waiting = [jobs.runs[number] for number in numbers]
    while waiting:
        run = waiting.pop()
        waiting += run.members
        if not run.has_network or run.model.name in checked:
            continue
        plugin = jobs.registry.model(run.model.name)
        check_source(run.model.name, source_digest(plugin.build, needs=plugin.needs), run.model.source_digest)
        checked.add(run.model.name)


def _cases_of(file: JobFile, numbers: Sequence[int]) -> dict[int, set[str]]:
    """Return number of prepared data -> ids of the cases that these jobs read."""
    names: dict[int, set[str]] = {}
    for number in numbers:
        job = file.jobs[number]
        parts = file.splits[job.split_digest]
        names.setdefault(job.data, set()).update(parts.train, parts.validation, parts.test)
    return names


def _assign(jobs: _Jobs, number: int) -> Assignment:
    job, run = jobs.file.jobs[number], jobs.runs[number]
    data = jobs.data[job.data]
    parts = jobs.file.splits[job.split_digest]
    params = run.model.params
    if run.has_network:
        params = resolve_params(jobs.registry.model(run.model.name).build, params)
    train, validation, test = (data.prepared(getattr(parts, part)) for part in PARTS)
    if run.control == "shuffled_labels":
        moved = move_labels(train, validation, seed=run.seed)
        train, validation = moved["train"], moved["validation"]
    return Assignment(
        key=run.key,
        protocol=run.protocol,
        resolved=run.resolved(),
        digest=run.digest,
        data_digest=data.content.data_digest,
        split_digest=job.split_digest,
        entry_point=job.entry_point,
        model_params=params,
        channels=data.content.channels,
        regions=tuple(data.content.regions),
        label_values=data.content.regions,
        colours=data.content.colours,
        statistics=read_statistics(data.content.statistics),
        metadata=metadata_of([case.case for case in test], data.content.metadata),
        train=train,
        validation=validation,
        test=test,
        folder=jobs.folder.run(run.key),
        device=jobs.device,
        threads=1,
        save_predictions=jobs.file.save_predictions,
        members=tuple(_assign(jobs, member) for member in job.members),
        siblings=_siblings(jobs, job, run),
        tuning=run.tuning,
    )


def _siblings(jobs: _Jobs, job: PlannedJob, run: Run) -> Mapping[int, Sibling]:
    splits = jobs.file.sibling_splits.get(f"{job.data} {job.protocol}", {})
    data_digest = jobs.data[job.data].content.data_digest
    siblings: dict[int, Sibling] = {}
    for sibling in run.siblings:
        digests = (sibling.digest, data_digest, splits[str(sibling.fold)])
        siblings[sibling.fold] = Sibling(jobs.folder.run(sibling.key), digests)
    return siblings
