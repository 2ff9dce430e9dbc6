"""The record of a run that ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from benchbench.plan.run import RECORD_SCHEMA, RunKey

Status = Literal["done", "diverged", "failed"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of a run that ended."""

    dataset: str
    model: str
    variant: str
    fold: int
    seed: int
    status: Status
    reason: str = ""
    """Why a run did not end well, in one line."""
    digest: str
    data_digest: str
    split_digest: str
    resolved: Mapping[str, Any]
    provenance: Mapping[str, Any]
    seconds: float
    parameters: int | None = None
    pretrained: str = ""
    """The weights that the model started from, if not from random ones."""
    epochs: int = 0
    """Epochs trained."""
    best_epoch: int | None = None
    shown: Mapping[str, float | str | None] = field(default_factory=dict)
    """What tables may show beside scores (`value_names`): of the epoch that was chosen, and of the network."""
    cost: Mapping[str, Any] = field(default_factory=dict)
    """What training, a case and an image took, as `run_cost` has it."""
    postprocess: Mapping[str, Any] | None = None
    """The rules from probabilities to regions, as the inner validation chose them."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the files the tables are made from."""
    members: Mapping[str, str] = field(default_factory=dict)
    """Of an ensemble: member -> SHA-256 of the weights that it predicted with."""
    replacing: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of files about to take the place of those above: one of the two is right, whenever power fails."""
    schema: int = RECORD_SCHEMA

    @property
    def key(self) -> RunKey:
        return RunKey(self.dataset, self.model, self.variant, self.fold, self.seed)
