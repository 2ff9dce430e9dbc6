"""The record of a run that ended: `run.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from benchbench.errors import IntegrityError
from benchbench.plan.run import RECORD_SCHEMA, RunKey

Status = Literal["done", "diverged", "failed", "waiting"]
"""waiting: trained, but thresholds are chosen over all folds of the row, and another fold is not trained yet."""
Value = int | float | str | None
"""A number or text that tables can show next to scores."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """Everything that is known of a run that ended."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    dataset: str
    model: str
    variant: str
    fold: int
    seed: int
    status: Status
    reason: str = ""
    """Why the run failed, diverged or waits, in one line."""
    digest: str
    """SHA-256 of everything in the plan that may change a number of the run."""
    data_digest: str
    """SHA-256 of the files of the dataset."""
    split_digest: str
    """SHA-256 of the cases in each part of the fold."""
    resolved: Mapping[str, Any]
    """The settings that `digest` is computed from."""
    provenance: Mapping[str, Any]
    """Commit, versions, machine, device, precision and seeds."""
    seconds: float
    """Wall time of the process that ended the run."""
    retries: tuple[str, ...] = ()
    """Why earlier attempts of the run ended, one line each, where a worker has repeated it."""
    parameters: int | None = None
    """Number of parameters of the network, or of all members of an ensemble."""
    parameters_with_statistics: int | None = None
    """The same with the running means and variances of batch normalisation, as Keras counts them."""
    pretrained: str = ""
    """The pretrained weights that the model started from; empty where it started from random ones."""
    pretrained_on: tuple[str, ...] = ()
    """Names of the data sets that these weights were trained on, as the model gives them."""
    epochs: int = 0
    """Number of epochs trained."""
    best_epoch: int | None = None
    """The epoch of the checkpoint that was selected, counted from 0."""
    trained_as: str = ""
    """Key of the run with the same digest whose results these are; empty for a run that was carried out itself."""
    remarks: tuple[str, ...] = ()
    """Facts about this run that a reader should know, one sentence each, such as a batch of another size."""
    images: Mapping[str, Any] = field(default_factory=dict)
    """Voxel sizes and orientations of the training images (`image_facts`), with which new images are compared."""
    shown: Mapping[str, Value] = field(default_factory=dict)
    """Values of the selected epoch and of the network that tables can show next to scores (`value_names`)."""
    cost: Mapping[str, Any] = field(default_factory=dict)
    """Time, energy and multiply-adds of training, of a case and of an image (`run_cost`), and `history_digest`."""
    postprocess: Mapping[str, Any] | None = None
    """The post-processing rules, with the thresholds and sizes that the inner validation selected."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file that tables are made from, and of the weights."""
    members: Mapping[str, str] = field(default_factory=dict)
    """Member of an ensemble -> SHA-256 of the weights that it predicted with."""
    tuning: Mapping[str, Any] = field(default_factory=dict)
    """Budget, spending, trials and choice of a tuned run; the numbers of the trials of an ensemble of them."""
    searched: Mapping[str, str] = field(default_factory=dict)
    """Fold -> SHA-256 of the candidates of its inner validation, where those of all folds chose `postprocess`."""
    replacing: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of files that are about to replace those in `files`: after a power cut, one of the two is right."""
    schema: int = RECORD_SCHEMA

    @property
    def key(self) -> RunKey:
        return RunKey(self.dataset, self.model, self.variant, self.fold, self.seed)

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of every file of the run that must not change: tables, weights and history."""
        # the history has the seconds of every epoch, so that its digest is part of the cost: apart from `seconds`
        # and `cost`, the records of equal runs are equal
        history = self.cost.get("history_digest")
        if history is None:
            return dict(self.files)
        return {**self.files, "history.csv": history}


def record_fields(record: Record) -> dict[str, Any]:
    """Return the content of `run.json`."""
    return asdict(record)


def read_record(path: Path) -> Record | None:
    """Read a record file; None where there is none or another version of benchbench wrote it.

    Raises:
        IntegrityError: the file was damaged or edited.
    """
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] != RECORD_SCHEMA:
            return None
        return _adapter().validate_python(content)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise _no_record(path, f"'{key}': {problem['msg']}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise _no_record(path, str(error)) from error


def _no_record(path: Path, problem: str) -> IntegrityError:
    return IntegrityError(f"{path}: not a run record ({problem}); delete the folder to run it again")


@cache
def _adapter() -> TypeAdapter[Record]:
    return TypeAdapter(Record)
