"""The input of the process of a run, and the progress that it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchbench.engine.devices.settings import DEFAULT_SETTINGS, ComputeSettings
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.engine.preparation.statistics import NO_STATISTICS, Statistics
from benchbench.plan.external_files import External
from benchbench.plan.run import RunKey
from benchbench.records.record import Record
from benchbench.records.run_folder import CANDIDATES_NAME, RunFolder
from benchbench.records.weights import is_weight_file, weights_digest
from benchbench.spec.file_names import slug
from benchbench.spec.metric_names import columns_with_units, is_overlap
from benchbench.spec.protocol import Protocol
from benchbench.spec.tuning import Tuning


class Sibling(NamedTuple):
    """The run of another fold of the same row and seed."""

    folder: RunFolder
    digests: tuple[str, str, str]
    """Digests of its settings, of the data and of its split."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Everything that a process needs to carry out one run."""

    key: RunKey
    protocol: Protocol
    resolved: Mapping[str, Any]
    """All settings that may change a number of the run, as the record keeps them."""
    digest: str
    """SHA-256 of `resolved`."""
    data_digest: str
    """SHA-256 of the files of the dataset."""
    split_digest: str
    """SHA-256 of the cases in each part of the fold."""
    entry_point: str
    """Entry point of the model's plugin; empty for an ensemble."""
    model_params: Mapping[str, Any]
    channels: tuple[str, ...]
    regions: tuple[str, ...]
    label_values: Mapping[str, tuple[int, ...]]
    """Region -> the label values that it consists of."""
    colours: Mapping[str, str] = field(default_factory=dict)
    """Region -> colour, for the regions to which the dataset gives one."""
    statistics: Statistics = NO_STATISTICS
    """Values of the training part by which the cases are prepared."""
    metadata: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Tested patient -> column -> value, for the patients of whom the dataset has metadata."""
    train: tuple[PreparedCase, ...]
    validation: tuple[PreparedCase, ...]
    test: tuple[PreparedCase, ...]
    folder: RunFolder
    device: str
    devices: tuple[str, ...] = ()
    """The device of each process, if the protocol asks for several."""
    threads: int
    """CPU threads of the run, for all of its processes together."""
    runs_per_device: int = 1
    """The number of runs that may use the device at the same time, including this one."""
    gpu_bytes: int | None = None
    """GPU memory that the run may take; None for an equal part of what is free."""
    settings: ComputeSettings = DEFAULT_SETTINGS
    """The way in which the machine carries out the run; it changes no result but for rounding."""
    save_predictions: bool = False
    """True if predictions are written as NIfTI."""
    equal_runs: tuple[RunFolder, ...] = ()
    """The folders of the other runs of the plan with the same digest; what one of them has trained is shared."""
    members: tuple[Assignment, ...] = ()
    """The members of an ensemble: the runs whose weights predict together."""
    retries: tuple[str, ...] = ()
    """Why earlier attempts of the run ended, one line each."""
    external: External | None = None
    """The predictions of another tool that are scored; None for a run of benchbench itself."""
    tuning: Tuning | None = None
    """The trials by which the settings of the run are chosen; None for the settings of the file."""
    siblings: Mapping[int, Sibling] = field(default_factory=dict)
    """Fold -> run whose inner validation chooses thresholds together with that of this run; empty where a fold
    chooses alone."""

    @property
    def plugin(self) -> str:
        """The name of the model's plugin, which can have a label of its own in tables."""
        return str(self.resolved["model"]["name"])

    @property
    def planned_epochs(self) -> int:
        """The epochs that the run will have, or about those of all its trials."""
        if self.tuning is None:
            return self.protocol.epochs
        return self.tuning.planned_epochs(self.protocol.epochs)

    @property
    def selection_cases(self) -> tuple[PreparedCase, ...]:
        """The cases that select the checkpoint: the inner validation, or the test cases if the protocol asks."""
        return self.test if self.protocol.select_on == "report" else self.validation

    def is_done_by(self, record: Record | None) -> bool:
        """Return True if a record is of a run that ended with the same settings, data, members and siblings."""
        if record is None or record.status in {"failed", "waiting"} or not _has_digests(record, self.digests):
            return False
        if not self.member_weights().items() <= record.members.items():
            return False
        if record.status == "diverged" or not self.siblings:
            return True
        candidates = self.sibling_candidates()
        candidates[str(record.fold)] = record.files.get(CANDIDATES_NAME, "")
        return candidates.items() <= record.searched.items()

    def is_trained_by(self, record: Record | None, folder: RunFolder | None = None) -> bool:
        """Return True if a record, of this run or of an equal one, leaves nothing to do but choose thresholds."""
        folder = folder or self.folder
        if record is None or not _candidates_digest(folder, record, self.digests):
            return False
        has_weights = all((folder.path / name).exists() for name in record.files if is_weight_file(name))
        return has_weights and self.member_weights() == record.members

    @property
    def digests(self) -> tuple[str, str, str]:
        """Digests of the settings, of the data and of the split."""
        return (self.digest, self.data_digest, self.split_digest)

    def sibling_candidates(self) -> dict[str, str]:
        """Return fold -> SHA-256 of its candidates, without siblings that are not trained yet."""
        digests: dict[str, str] = {}
        for fold, (folder, expected) in sorted(self.siblings.items()):
            record = folder.read_record()
            digest = _candidates_digest(folder, record, expected) if record is not None else ""
            if digest:
                digests[str(fold)] = digest
        return digests

    def awaited_folds(self) -> list[int]:
        """Return the folds whose inner validation is still missing; those that diverged are not waited for."""
        present = self.sibling_candidates()
        awaited = []
        for fold, (folder, expected) in sorted(self.siblings.items()):
            record = folder.read_record()
            has_diverged = record is not None and record.status == "diverged" and _has_digests(record, expected)
            if str(fold) not in present and not has_diverged:
                awaited.append(fold)
        return awaited

    def member_weights(self) -> dict[str, str]:
        """Return member -> SHA-256 of its weights, without members whose weights do not exist."""
        digests = {str(member.key): weights_digest(member.folder) for member in self.members}
        return {name: digest for name, digest in digests.items() if digest}

    def missing_distances(self) -> list[str]:
        """Return the distance metrics of the protocol that the table of cases lacks, if there is such a table."""
        columns = self.folder.columns_of("cases.parquet")
        if not columns:
            return []
        distances = [name for name in self.protocol.metrics if not is_overlap(name)]
        return [name for name in distances if not _has_column(columns, name)]

    def lacks_exports(self) -> bool:
        """Return True if predictions should be written as NIfTI and some are missing."""
        names = {f"{slug(prepared.case.id)}.nii.gz" for prepared in self.test}
        return self.save_predictions and not names <= self.folder.names_in("predictions")

    def has_work(self) -> bool:
        """Return True for a run that is not done, or lacks distances or exports that are asked for now."""
        is_done = self.is_done_by(self.folder.read_record())
        return not is_done or bool(self.missing_distances()) or self.lacks_exports()

    def record(self, **fields: Any) -> Record:
        """Return a record of this run with the given results."""
        return Record(
            **self.key._asdict(),
            digest=self.digest,
            data_digest=self.data_digest,
            split_digest=self.split_digest,
            resolved=self.resolved,
            retries=self.retries,
            **fields,
        )


@dataclass(frozen=True)
class Progress:
    """Progress of a run."""

    epochs: float
    """Number of epochs trained, including the finished share of the current one."""
    total: int
    """Number of epochs that the protocol asks for."""
    note: str = ""
    """The scores of an epoch that has just ended; otherwise empty."""
    remark: str = ""
    """A sentence that the user should read now; otherwise empty."""


ProgressListener = Callable[[Progress], None]
"""Called whenever a run progresses."""


def _has_digests(record: Record, digests: tuple[str, str, str]) -> bool:
    return (record.digest, record.data_digest, record.split_digest) == digests


def _candidates_digest(folder: RunFolder, record: Record, digests: tuple[str, str, str]) -> str:
    """Return the SHA-256 of the candidates of a trained run with these digests; '' if they are missing."""
    if record.status not in {"waiting", "done"} or not _has_digests(record, digests):
        return ""
    if not (folder.path / CANDIDATES_NAME).exists():
        return ""
    return record.files.get(CANDIDATES_NAME, "")


def _has_column(columns: list[str], metric: str) -> bool:
    """Return True if one of the columns holds the metric, in any unit."""
    return any(column in columns for column in columns_with_units(metric))
