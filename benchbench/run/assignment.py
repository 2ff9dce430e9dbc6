"""What a launcher hands to the process of a run, and what it hears back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchbench.engine.preparation.prepare import PreparedCase
from benchbench.plan.run import RunKey
from benchbench.results.files import slug
from benchbench.results.record import Record
from benchbench.results.run_folder import RunFolder
from benchbench.results.weights import weights_digest
from benchbench.spec.metric_names import UNITS, is_overlap
from benchbench.spec.protocol import Protocol


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """All that a process needs to carry out one run."""

    key: RunKey
    protocol: Protocol
    resolved: Mapping[str, Any]
    digest: str
    data_digest: str
    split_digest: str
    entry_point: str
    """Of the model's plugin; an ensemble has none."""
    model_params: Mapping[str, Any]
    channels: tuple[str, ...]
    regions: tuple[str, ...]
    label_values: Mapping[str, tuple[int, ...]]
    """Region -> the label values that it consists of."""
    colours: Mapping[str, str] = field(default_factory=dict)
    """Region -> what it is drawn in, where the dataset says so."""
    train: tuple[PreparedCase, ...]
    validation: tuple[PreparedCase, ...]
    test: tuple[PreparedCase, ...]
    folder: RunFolder
    device: str
    devices: tuple[str, ...] = ()
    """Of each process, where the protocol asks for several."""
    threads: int
    runs_per_device: int = 1
    """How many runs may be at a device at a time, this one included."""
    save_predictions: bool = False
    members: tuple[Assignment, ...] = ()
    """Of an ensemble: the runs whose weights predict together."""

    @property
    def chosen_on(self) -> tuple[PreparedCase, ...]:
        """The cases that choose the checkpoint: the inner validation, unless the protocol says otherwise."""
        return self.test if self.protocol.select_on == "report" else self.validation

    def is_done_by(self, record: Record | None) -> bool:
        """Whether a record is what this run would give: the same spec, code, data, split, members, and an end."""
        return (
            record is not None
            and record.status != "failed"
            and (record.digest, record.data_digest, record.split_digest)
            == (self.digest, self.data_digest, self.split_digest)
            and self.member_weights().items() <= record.members.items()
        )

    def member_weights(self) -> dict[str, str]:
        """Member -> SHA-256 of its weights; without those whose weights were removed since or never kept."""
        found = {str(member.key): weights_digest(member.folder) for member in self.members}
        return {name: digest for name, digest in found.items() if digest}

    def unmeasured(self) -> list[str]:
        """The distances that the protocol asks for and that the recorded cases do not have."""
        columns = self.folder.columns_of("cases.parquet")
        wanted = [name for name in self.protocol.metrics if columns and not is_overlap(name)]
        return [name for name in wanted if not any(f"{name}_{unit}" in columns for unit in UNITS)]

    def unexported(self) -> bool:
        """Whether predictions are to be saved and are not."""
        names = {f"{slug(prepared.case.id)}.nii.gz" for prepared in self.test}
        return self.save_predictions and not names <= self.folder.names_in("predictions")

    def record(self, **fields: Any) -> Record:
        """A record of this run with the given outcome."""
        return Record(
            **self.key._asdict(),
            digest=self.digest,
            data_digest=self.data_digest,
            split_digest=self.split_digest,
            resolved=self.resolved,
            **fields,
        )


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    epochs: float
    """Epochs trained, the share of the present one included."""
    of: int
    note: str = ""


Report = Callable[[Progress], None]
