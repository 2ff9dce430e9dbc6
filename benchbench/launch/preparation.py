"""Prepares the data of a plan: each dataset is opened once, and prepared once per combination of settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbench.contract import CaseRef, Dataset
from benchbench.cores import available_cores
from benchbench.data.cache import mark_used
from benchbench.data.case_names import name_problems
from benchbench.data.digests import dataset_digest
from benchbench.data.duplicates import duplicates
from benchbench.data.fingerprint import remembered_digests
from benchbench.data.folder import open_dataset
from benchbench.data.folds import PARTS, Fold
from benchbench.data.phantom import is_phantom, phantom_root
from benchbench.data.pinned import pin
from benchbench.data.region_strata import metadata_for_strata
from benchbench.data.split_file import folds_of
from benchbench.data.unused_files import files_of_no_case
from benchbench.engine.preparation.moved_labels import move_labels
from benchbench.engine.preparation.prepare import (
    CasePreparation,
    preparation_settings,
    prepare_cases,
    verify_cases,
)
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.engine.preparation.statistics import (
    NO_STATISTICS,
    CaseMeasures,
    Statistics,
    learns_from_training,
    measure_cases,
    training_statistics,
)
from benchbench.errors import DataError
from benchbench.launch import Observer
from benchbench.launch.dataset_facts import dataset_facts
from benchbench.launch.dataset_remarks import dataset_remarks
from benchbench.launch.job_file import PreparedPlan
from benchbench.launch.machine import Machine, settings_of_runs, threads_per_run
from benchbench.plan.run import Chosen, Run
from benchbench.records.folder import ResultsFolder
from benchbench.records.manifest import DatasetFacts
from benchbench.registry.registry import Registry
from benchbench.run.assignment import Assignment, Sibling
from benchbench.spec.benchmark import Benchmark


@dataclass(frozen=True)
class _OpenedDataset:
    """A dataset whose files must not change from now on."""

    dataset: Dataset
    cases: Sequence[CaseRef]
    digests: dict[str, str]
    """Case id -> SHA-256 of its files."""
    metadata: Mapping[str, Mapping[str, str]]
    """Patient -> column -> value."""


@dataclass(frozen=True)
class _PreparedDataset:
    """A dataset prepared and split as one protocol asks."""

    preparation: CasePreparation
    cases: dict[str, PreparedCase]
    """Prepared cases by id."""
    old: tuple[CaseRef, ...]
    """Cases that were in the cache before."""
    folds: list[Fold]
    statistics: Statistics
    """Values of the training part of one fold; empty where the protocol needs none."""


class Preparation:
    """The datasets of a plan, prepared for its runs."""

    def __init__(self, benchmark: Benchmark, registry: Registry, machine: Machine, observer: Observer) -> None:
        self.is_phantom = benchmark.rehearsal is not None
        """True if the plan is a rehearsal, or a dataset in the data root turned out to be a phantom."""
        self._benchmark = benchmark
        self.registry = registry
        self._machine = machine
        self._observer = observer
        self._opened: dict[str, _OpenedDataset] = {}
        self._prepared: dict[str, _PreparedDataset] = {}
        self._measures: dict[str, dict[str, CaseMeasures]] = {}
        self._remarks: set[str] = set()

    def prepare_all(self, runs: Sequence[Run]) -> None:
        """Open, prepare and split all data that the runs need.

        Raises:
            DataError: with every problem of every dataset.
        """
        problems: dict[str, None] = {}
        different = {_preparation_key(run): run for run in runs}
        for run in different.values():
            try:
                self._prepare(run)
            except DataError as error:
                problems.update(dict.fromkeys(error.problems))
        if problems:
            raise DataError(*problems)

    def verify_all(self, runs: Sequence[Run]) -> None:
        """Compare the prepared cases that the runs read with their digests; changed ones are prepared again.

        Raises:
            DataError: a case cannot be prepared again.
        """
        different = {_preparation_key(run): run for run in runs}
        for key, run in different.items():
            prepared = self._prepared[key]
            if not prepared.old:
                continue
            self._observer.on_check_start(run.dataset.name, len(prepared.old))
            progress = self._observer.on_case_prepared
            verify_cases(prepared.preparation, prepared.old, threads=available_cores(), progress=progress)

    def dataset_facts(self, runs: Sequence[Run]) -> dict[str, DatasetFacts]:
        """Return the facts of the datasets of these runs that a page prints."""
        return dataset_facts(runs, self.registry)

    def assign(self, run: Run, folder: ResultsFolder) -> Assignment:
        """Return a run with everything that a worker needs."""
        opened = self._opened[_dataset_key(run.dataset)]
        prepared = self._prepared[_preparation_key(run)]
        fold = prepared.folds[run.fold]
        parts: dict[str, tuple[PreparedCase, ...]] = {}
        for part in PARTS:
            parts[part] = tuple(prepared.cases[case.id] for case in fold.part(part))
        task = opened.dataset.task
        if run.control == "shuffled_labels":
            parts |= move_labels(parts["train"], parts["validation"], seed=run.seed)
        entry_point = ""
        if run.has_network:
            entry_point = self.registry.models[run.model.name].origin.entry_point
        return Assignment(
            key=run.key,
            protocol=run.protocol,
            resolved=run.resolved(),
            digest=run.digest,
            data_digest=dataset_digest(opened.digests),
            split_digest=fold.digest,
            entry_point=entry_point,
            model_params=run.model.params,
            channels=task.channels,
            regions=tuple(task.regions),
            label_values=task.regions,
            colours=task.colours,
            statistics=prepared.statistics,
            metadata=metadata_of(fold.test, opened.metadata),
            train=parts["train"],
            validation=parts["validation"],
            test=parts["test"],
            folder=folder.run(run.key),
            device=self._machine.devices[0],
            settings=settings_of_runs(self._machine),
            threads=threads_per_run(self._machine),
            save_predictions=self._machine.save_predictions,
            members=tuple(self.assign(member, folder) for member in run.members),
            external=run.external,
            tuning=run.tuning,
            siblings=self._siblings(run, folder),
        )

    def describe(self, run: Run) -> PreparedPlan:
        """Return the prepared data of a run, for the job file."""
        opened = self._opened[_dataset_key(run.dataset)]
        prepared = self._prepared[_preparation_key(run)]
        plugin = run.dataset.layout or run.dataset.name
        return PreparedPlan(
            entry_point=self.registry.datasets[plugin].origin.entry_point,
            recipe=prepared.preparation.recipe,
            digests=opened.digests,
            folders={name: case.folder for name, case in prepared.cases.items()},
            cases={case.id: case for case in opened.cases},
            splits={fold.number: fold.digest for fold in prepared.folds},
            metadata=metadata_of(opened.cases, opened.metadata),
        )

    def _siblings(self, run: Run, folder: ResultsFolder) -> dict[int, Sibling]:
        """Return the runs of other folds that choose thresholds together with this one."""
        data_digest = dataset_digest(self._opened[_dataset_key(run.dataset)].digests)
        folds = self._prepared[_preparation_key(run)].folds
        siblings: dict[int, Sibling] = {}
        for sibling in run.siblings:
            digests = (sibling.digest, data_digest, folds[sibling.fold].digest)
            siblings[sibling.fold] = Sibling(folder.run(sibling.key), digests)
        return siblings

    def _prepare(self, run: Run) -> None:
        key = _dataset_key(run.dataset)
        if key not in self._opened:
            self._opened[key] = self._open(run.dataset)
        opened = self._opened[key]
        protocol = run.protocol
        # before the cases are prepared, which takes long, because there may be too few patients
        metadata = metadata_for_strata(opened.dataset, opened.cases, protocol.stratify)
        folds = folds_of(opened.cases, protocol, metadata)
        self._observer.on_preparation_start(run.dataset.name, len(opened.cases))
        preparation = CasePreparation(
            dataset=opened.dataset,
            digests=opened.digests,
            protocol=protocol,
            recipe=key,
            cache=self._machine.cache,
            compress=self._machine.compress_cache,
            statistics=self._statistics(run, opened, folds[run.fold]),
        )
        old = tuple(case for case in opened.cases if preparation.is_stored(case))
        threads = available_cores()
        cases = prepare_cases(preparation, threads=threads, progress=self._observer.on_case_prepared)
        mark_used(prepared.folder for prepared in cases.values())
        problems = list(duplicates((prepared.case, prepared.voxel_digest()) for prepared in cases.values()))
        if problems:
            raise DataError(*problems)
        for remark in dataset_remarks(list(cases.values()), tuple(opened.dataset.task.regions), folds):
            self._remark(f"{run.dataset.name}: {remark}")
        self._prepared[_preparation_key(run)] = _PreparedDataset(
            preparation, cases, old, folds, preparation.statistics
        )

    def _statistics(self, run: Run, opened: _OpenedDataset, fold: Fold) -> Statistics:
        """Return the values that the training part of a fold gives, if the protocol needs any."""
        if not learns_from_training(run.protocol):
            return NO_STATISTICS
        measures = self._measure(run, opened)
        return training_statistics({case.id: measures[case.id] for case in fold.train}, run.protocol)

    def _remark(self, text: str) -> None:
        """Print a line once, also where each fold prepares the cases."""
        if text not in self._remarks:
            self._remarks.add(text)
            self._observer.on_remark(text)

    def _measure(self, run: Run, opened: _OpenedDataset) -> dict[str, CaseMeasures]:
        """Return the measures of all cases, which are read once for all folds."""
        protocol = run.protocol
        key = f"{_dataset_key(run.dataset)} {protocol.ndim} {protocol.slice_axis} {protocol.crop}"
        if key not in self._measures:
            self._measures[key] = measure_cases(opened.dataset, opened.cases, protocol, threads=available_cores())
        return self._measures[key]

    def _open(self, chosen: Chosen) -> _OpenedDataset:
        dataset, folder = self._find(chosen)
        cases = dataset.cases()
        problems = list(name_problems(cases))
        if problems:
            raise DataError(*problems)
        self._name_unused_files(chosen.name, dataset, cases)
        pinned = pin(dataset, cases)
        digests = remembered_digests(
            dataset,
            cases,
            folder=folder,
            cache=self._machine.cache,
            threads=available_cores(),
            read_all=self._machine.check_data,
        )
        return _OpenedDataset(pinned, cases, digests, self._read_metadata(chosen.name, dataset))

    def _read_metadata(self, name: str, dataset: Dataset) -> Mapping[str, Mapping[str, str]]:
        """Return the metadata, from which only subgroups are made; a table that cannot be read stops no run."""
        try:
            return dataset.metadata()
        except DataError as error:
            self._observer.on_remark(f"{name}: no subgroups by metadata: {error.problems[0]}")
            return {}

    def _name_unused_files(self, name: str, dataset: Dataset, cases: Sequence[CaseRef]) -> None:
        """Print the files that look like those of cases and belong to none; phantoms have only planned files."""
        data_root = self._machine.data_root
        if self.is_phantom or data_root is None:
            return
        unused = files_of_no_case(dataset, cases, data_root / name, only_similar=True)
        if unused:
            self._observer.on_remark(f"{name}: files of no case: {', '.join(unused)}")

    def _find(self, chosen: Chosen) -> tuple[Dataset, Path]:
        """Open the dataset in the data root, or a phantom of it in a rehearsal; return it and its folder."""
        plugin = self.registry.named_dataset(chosen)
        root = self._machine.data_root
        if self._benchmark.rehearsal is not None:
            root = phantom_root(plugin, self._benchmark.rehearsal, cache=self._machine.cache)
            mark_used([root])
        dataset = open_dataset(plugin, chosen.params, data_root=root)
        assert root is not None, "open_dataset refuses that"
        self.is_phantom = self.is_phantom or is_phantom(root / plugin.name)
        return dataset, root / plugin.name


def metadata_of(cases: Sequence[CaseRef], metadata: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return the metadata of the patients of these cases."""
    patients = {case.patient for case in cases}
    return {patient: dict(metadata[patient]) for patient in sorted(patients & metadata.keys())}


def _dataset_key(chosen: Chosen) -> str:
    return f"{chosen.name} {dict(chosen.params)} {chosen.source_digest}"


def _preparation_key(run: Run) -> str:
    """Return text that is equal for runs with the same prepared data and folds."""
    protocol = run.protocol
    splitting = (protocol.folds, protocol.validation, protocol.test, protocol.splits, protocol.stratify)
    settings: tuple[object, ...] = (preparation_settings(protocol), *splitting)
    if learns_from_training(protocol):
        settings += (f"fold {run.fold}",)
    return f"{_dataset_key(run.dataset)} {settings}"
