"""The job file of a results folder, `jobs.json`: everything that a process of any machine needs for the runs.

Paths are relative to named roots, which are different folders on different machines: "results:" is the folder of
the file, "cache:" that of prepared cases, and datasets are below the data root by their names. What is equal in
many runs is listed once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from benchbench.contract import CaseRef
from benchbench.data.folds import PARTS, Part
from benchbench.errors import IntegrityError
from benchbench.plan.run import RECORD_SCHEMA, Chosen, Run, RunKey
from benchbench.records.files import json_bytes
from benchbench.records.folder import ResultsFolder
from benchbench.run.assignment import Assignment
from benchbench.spec.benchmark_file import PhantomSize
from benchbench.spec.controls import ControlKind
from benchbench.spec.protocol import Protocol
from benchbench.spec.strict import Strict
from benchbench.spec.tuning import Tuning

JOB_FILE_NAME = "jobs.json"
JOB_SCHEMA = 2
_SPLITS_FOLDER = "splits"
_RESULTS = "results:"
_CACHE = "cache:"


class ChosenPlugin(Strict):
    """A plugin with its parameters and the digest of its source."""

    name: str
    params: dict[str, Any]
    source_digest: str
    layout: str = ""
    label: str = ""


class CaseOfJob(Strict):
    """A case of a dataset."""

    id: str
    patient: str
    digest: str
    """SHA-256 of its files."""
    prepared: str
    """Folder of the prepared case, relative to the cache."""


class PreparedData(Strict):
    """A dataset that is prepared in one way."""

    dataset: ChosenPlugin
    entry_point: str
    """Entry point of the plugin of the dataset."""
    phantom: PhantomSize | None
    protocol: int
    """Number of a protocol with the settings of the preparation."""
    recipe: str
    """Text on how files become cases, which is part of the names of prepared cases."""
    data_digest: str
    channels: tuple[str, ...]
    regions: dict[str, tuple[int, ...]]
    """Region -> its label values, in the order of the channels of a network's output."""
    colours: dict[str, str]
    statistics: dict[str, Any]
    """Values of the training part by which the cases are prepared (`Statistics.content`)."""
    metadata: dict[str, dict[str, str]]
    """Patient -> column -> value, as the dataset gives them."""
    cases: tuple[CaseOfJob, ...]


class Parts(Strict):
    """Ids of the cases in each part of a fold."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


class PlannedJob(Strict):
    """A run that is to be carried out."""

    dataset: str
    model: ChosenPlugin
    variant: str
    fold: int
    seed: int
    digest: str
    split_digest: str
    protocol: int
    data: int
    """Number of its prepared data."""
    entry_point: str
    control: ControlKind | None = None
    members: tuple[int, ...] = ()
    """Numbers of the runs of an ensemble."""
    tuning: Tuning | None = None
    """The trials by which its settings are chosen."""

    @property
    def key(self) -> RunKey:
        return RunKey(self.dataset, self.model.label or self.model.name, self.variant, self.fold, self.seed)


class JobFile(Strict):
    """The content of `jobs.json`."""

    name: str
    protocols: tuple[dict[str, Any], ...]
    data: tuple[PreparedData, ...]
    splits: dict[str, Parts]
    """SHA-256 of a split -> its parts."""
    jobs: tuple[PlannedJob, ...]
    selected: tuple[int, ...]
    """Numbers of the jobs to carry out; the others are members of ensembles among them."""
    save_predictions: bool = False
    compress_cache: bool = False
    sibling_splits: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Number of the data and of the protocol -> fold -> SHA-256 of its split."""


@dataclass(frozen=True)
class PreparedPlan:
    """One dataset of a plan, prepared in one way, as `write_job_file` needs it."""

    entry_point: str
    recipe: str
    digests: Mapping[str, str]
    """Case id -> SHA-256 of its files."""
    folders: Mapping[str, Path]
    """Case id -> folder of the prepared case."""
    cases: Mapping[str, CaseRef]
    splits: Mapping[int, str]
    """Fold -> SHA-256 of its split."""
    metadata: Mapping[str, Mapping[str, str]]
    """Patient -> column -> value."""


class JobFileWriter:
    """Collects the runs of a plan and writes the job file."""

    def __init__(self, folder: ResultsFolder, cache: Path, *, save_predictions: bool, compress: bool) -> None:
        self._folder = folder
        self._cache = cache
        self._flags = {"save_predictions": save_predictions, "compress_cache": compress}
        self._protocols: dict[str, int] = {}
        self._data: dict[str, int] = {}
        self._data_content: list[dict[str, Any]] = []
        self._splits: dict[str, dict[Part, list[str]]] = {}
        self._sibling_splits: dict[str, dict[str, str]] = {}
        self._numbers: dict[RunKey, int] = {}
        self._jobs: list[dict[str, Any]] = []
        self._selected: list[int] = []

    def add(self, run: Run, assignment: Assignment, plan: PreparedPlan) -> None:
        """Add a run that is to be carried out, and its members."""
        for member, planned in zip(run.members, assignment.members, strict=True):
            self._number(member, planned, plan)
        self._selected.append(self._number(run, assignment, plan))

    def write(self) -> None:
        """Write the file.

        Raises:
            StorageError: the file cannot be written.
        """
        content = {
            "name": self._folder.path.name,
            "protocols": [json.loads(text) for text in self._protocols],
            "data": self._data_content,
            "splits": self._splits,
            "jobs": self._jobs,
            "selected": self._selected,
            "sibling_splits": self._sibling_splits,
            **self._flags,
            "schema": JOB_SCHEMA,
            "records": RECORD_SCHEMA,
        }
        self._folder.write(JOB_FILE_NAME, json_bytes(content))

    def _number(self, run: Run, assignment: Assignment, plan: PreparedPlan) -> int:
        if run.key in self._numbers:
            return self._numbers[run.key]
        protocol = self._add_protocol(run.protocol)
        data = self._add_data(run, assignment, plan, protocol)
        parts = {name: [case.case.id for case in getattr(assignment, name)] for name in PARTS}
        self._splits.setdefault(assignment.split_digest, parts)
        if run.siblings:
            splits = {str(fold): digest for fold, digest in plan.splits.items()}
            self._sibling_splits.setdefault(f"{data} {protocol}", splits)
        job = {
            "dataset": run.dataset.name,
            "model": _plugin(run.model),
            "variant": run.variant,
            "fold": run.fold,
            "seed": run.seed,
            "digest": run.digest,
            "split_digest": assignment.split_digest,
            "protocol": protocol,
            "data": data,
            "entry_point": assignment.entry_point,
            "control": run.control,
            "members": [self._numbers[member.key] for member in run.members],
            "tuning": run.tuning.model_dump(mode="json") if run.tuning else None,
        }
        self._numbers[run.key] = len(self._jobs)
        self._jobs.append(job)
        return self._numbers[run.key]

    def _add_protocol(self, protocol: Protocol) -> int:
        content = protocol.model_dump(mode="json")
        if protocol.splits is not None:
            split_file = Path(protocol.splits)
            name = f"{_SPLITS_FOLDER}/{split_file.name}"
            self._folder.write(name, split_file.read_bytes())
            content["splits"] = _RESULTS + name
        return self._protocols.setdefault(json.dumps(content), len(self._protocols))

    def _add_data(self, run: Run, assignment: Assignment, plan: PreparedPlan, protocol: int) -> int:
        folders = sorted(str(folder) for folder in plan.folders.values())
        identity = f"{plan.recipe} {folders}"
        if identity in self._data:
            return self._data[identity]
        cases = []
        for name, case in plan.cases.items():
            prepared = plan.folders[name].relative_to(self._cache).as_posix()
            cases.append({**case._asdict(), "digest": plan.digests[name], "prepared": _CACHE + prepared})
        phantom = run.phantom.model_dump(mode="json") if run.phantom else None
        self._data[identity] = len(self._data_content)
        self._data_content.append(
            {
                "dataset": _plugin(run.dataset),
                "entry_point": plan.entry_point,
                "phantom": phantom,
                "protocol": protocol,
                "recipe": plan.recipe,
                "data_digest": assignment.data_digest,
                "channels": assignment.channels,
                "regions": assignment.label_values,
                "colours": assignment.colours,
                "statistics": assignment.statistics.content(),
                "metadata": plan.metadata,
                "cases": cases,
            }
        )
        return self._data[identity]


def read_job_file(folder: ResultsFolder) -> JobFile:
    """Read the job file of a results folder.

    Raises:
        IntegrityError: the file is missing or damaged, or another version of benchbench wrote it.
    """
    path = folder.path / JOB_FILE_NAME
    remedy = "`benchbench plan FILE --write` or `benchbench run` writes it"
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path}: cannot be read ({error}); {remedy}") from error
    if not isinstance(content, dict):
        raise IntegrityError(f"{path}: found no table, expected the jobs of a benchmark; {remedy}")
    versions = (content.pop("schema", None), content.pop("records", None))
    if versions != (JOB_SCHEMA, RECORD_SCHEMA):
        raise IntegrityError(
            f"{path}: versions {versions[0]} of the file and {versions[1]} of records, expected {JOB_SCHEMA} and"
            f" {RECORD_SCHEMA}: another version of benchbench wrote it; install that version or plan again"
        )
    try:
        return JobFile.model_validate_json(json.dumps(content))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise IntegrityError(f"{path}: {key}: {problem['msg']}; {remedy}") from error


def runs_of(file: JobFile, folder: ResultsFolder) -> list[Run]:
    """Return the run of each job, with the paths of this machine.

    Raises:
        IntegrityError: the digest of a run is not the one that the file lists.
    """
    protocols: list[Protocol] = []
    for content in file.protocols:
        splits = content.get("splits")
        if isinstance(splits, str) and splits.startswith(_RESULTS):
            content["splits"] = str(folder.path / splits.removeprefix(_RESULTS))
        protocols.append(Protocol.model_validate_json(json.dumps(content)))
    runs: list[Run] = []
    for job in file.jobs:
        data = file.data[job.data]
        run = Run(
            dataset=Chosen(**data.dataset.model_dump()),
            model=Chosen(**job.model.model_dump()),
            variant=job.variant,
            fold=job.fold,
            seed=job.seed,
            protocol=protocols[job.protocol],
            phantom=data.phantom,
            control=job.control,
            members=tuple(runs[number] for number in job.members),
            tuning=job.tuning,
        )
        if run.digest != job.digest:
            raise IntegrityError(
                f"{folder.path / JOB_FILE_NAME}: run {run.key} has digest {run.digest[:12]}, but the file lists"
                f" {job.digest[:12]}; the file was edited: plan again"
            )
        runs.append(run)
    return runs


def prepared_folder(case: CaseOfJob, cache: Path) -> Path:
    """Return the folder of a prepared case in the cache of this machine."""
    return cache / case.prepared.removeprefix(_CACHE)


def _plugin(chosen: Chosen) -> dict[str, Any]:
    fields = chosen._asdict()
    return {**fields, "params": dict(chosen.params)}


def references(cases: Sequence[CaseOfJob]) -> dict[str, CaseRef]:
    """Return the cases of a dataset by their ids."""
    return {case.id: CaseRef(case.id, case.patient) for case in cases}
