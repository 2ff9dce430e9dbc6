"""The runs of a benchmark: their keys, their digests, and the group that each counts in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from benchbench.spec.benchmark_file import PhantomSize
from benchbench.spec.protocol import Protocol

RECORD_SCHEMA = 5
"""Raised whenever the engine's numbers or the record's layout change: older runs are done again."""


# these shape tables, not runs: every table is computed anew from the counts and the predicted masks
_TABLE_KEYS = {"metrics", "empty", "seeds"}


class Group(NamedTuple):
    """A row of the leaderboard: every fold and seed of one model in one variant on one dataset."""

    dataset: str
    model: str
    variant: str


class RunKey(NamedTuple):
    """Which run of a benchmark."""

    dataset: str
    model: str
    variant: str
    fold: int
    seed: int

    @property
    def group(self) -> Group:
        return Group(self.dataset, self.model, self.variant)

    def __str__(self) -> str:
        return f"{self.dataset}/{self.model}/{self.variant}/fold{self.fold}/seed{self.seed}"


class Chosen(NamedTuple):
    """A plugin with every parameter resolved, and the digest of its source."""

    name: str
    params: Mapping[str, Any]
    source_digest: str


KEYS = list(RunKey._fields)
"""Columns that say of which run a line is."""
GROUP = list(Group._fields)
"""Columns that say of which group a line is."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One point of dataset x model x variant x fold x seed, or an ensemble of such in the place of the model."""

    dataset: Chosen
    model: Chosen
    variant: str
    fold: int
    seed: int
    protocol: Protocol
    phantom: PhantomSize | None
    members: tuple[Run, ...] = ()
    """Of an ensemble: the runs that predict together; nothing is trained."""

    @property
    def key(self) -> RunKey:
        return RunKey(self.dataset.name, self.model.name, self.variant, self.fold, self.seed)

    def resolved(self) -> dict[str, Any]:
        """Everything that may change a number of this run, apart from the data."""
        return {
            "schema": RECORD_SCHEMA,
            "dataset": self.dataset._asdict(),
            "model": self.model._asdict(),
            "protocol": self.protocol.model_dump(mode="json", exclude=_TABLE_KEYS),
            "fold": self.fold,
            "seed": self.seed,
            "phantom": self.phantom.model_dump(mode="json") if self.phantom else None,
            "members": [member.digest for member in self.members],
        }

    @property
    def digest(self) -> str:
        """SHA-256 of `resolved`."""
        return hashlib.sha256(json.dumps(self.resolved(), sort_keys=True).encode()).hexdigest()
