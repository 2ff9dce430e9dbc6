"""The runs of a benchmark: their keys, their digests, and the groups that are rows of the leaderboard."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from benchbench.plan.extensions import extension_digests
from benchbench.plan.external_files import External
from benchbench.spec.benchmark_file import PhantomSize
from benchbench.spec.controls import ControlKind
from benchbench.spec.protocol import Protocol
from benchbench.spec.tuning import Tuning
from benchbench.words import natural_order

RECORD_SCHEMA = 6
"""Version of the engine's numbers and of the record's layout; raising it repeats all runs of older versions."""
# tables are computed from stored counts and masks, so that a change of these fields needs no new training
_TABLE_FIELDS = {"metrics", "empty", "seeds"}


class Group(NamedTuple):
    """A row of the leaderboard: all folds and seeds of one model in one variant on one dataset."""

    dataset: str
    model: str
    variant: str

    @property
    def order(self) -> tuple[Any, ...]:
        """A sort key by which unet_2 is before unet_10."""
        return tuple(map(natural_order, self))


class RunKey(NamedTuple):
    """The identity of a run within its benchmark."""

    dataset: str
    model: str
    variant: str
    fold: int
    seed: int

    @property
    def group(self) -> Group:
        return Group(self.dataset, self.model, self.variant)

    @property
    def order(self) -> tuple[Any, ...]:
        """A sort key: the group, then fold and seed."""
        return (*self.group.order, self.fold, self.seed)

    def __str__(self) -> str:
        return f"{self.dataset}/{self.model}/{self.variant}/fold{self.fold}/seed{self.seed}"


class Chosen(NamedTuple):
    """A plugin with all its parameters and the digest of its source."""

    name: str
    params: Mapping[str, Any]
    source_digest: str
    layout: str = ""
    """Name of the plugin of a dataset that has a name of its own."""
    label: str = ""
    """Name of the row of a model, where it is not that of the plugin; it changes no number."""

    @property
    def row(self) -> str:
        """The name by which tables know the plugin."""
        return self.label or self.name

    def resolved(self) -> dict[str, Any]:
        """Return what can change a number."""
        fields = self._asdict()
        del fields["label"]
        if not self.layout:
            del fields["layout"]  # the digests of earlier versions stay
        return fields


KEYS = list(RunKey._fields)
"""Columns of a table that identify the run of a row."""
GROUP = list(Group._fields)
"""Columns of a table that identify the group of a row."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One combination of dataset, model, variant, fold and seed; the model can be an ensemble of several runs."""

    dataset: Chosen
    model: Chosen
    """The model, or the ensemble with the parameters of its table in the file."""
    variant: str
    fold: int
    seed: int
    protocol: Protocol
    phantom: PhantomSize | None
    """Amount of phantom data that replaces the real data; None without --rehearse."""
    control: ControlKind | None = None
    """The kind of control that the run belongs to; None for a run that is ranked."""
    members: tuple[Run, ...] = ()
    """Runs whose predictions an ensemble averages, or whose trials; empty for a run that trains a model."""
    tuning: Tuning | None = None
    """The trials by which the settings of the run are chosen; None for the settings of the file."""
    external: External | None = None
    """The predictions of another tool that are scored; None for a run of benchbench itself."""

    @property
    def is_trained(self) -> bool:
        """True for a run that trains a model; ensembles and external rows train none."""
        return not self.members and self.external is None

    @property
    def has_network(self) -> bool:
        """True for a run that builds networks of its model; ensembles of several models build those of members."""
        return self.is_trained or self.tuning is not None

    @property
    def key(self) -> RunKey:
        return RunKey(self.dataset.name, self.model.row, self.variant, self.fold, self.seed)

    def in_fold(self, fold: int) -> Run:
        """Return the run of the same row and seed in another fold."""
        members = tuple(member.in_fold(fold) for member in self.members)
        return replace(self, fold=fold, members=members)

    @property
    def siblings(self) -> tuple[Run, ...]:
        """The runs of the other folds whose inner validations choose thresholds together with that of this run."""
        rules = self.protocol.postprocess
        if self.external is not None or rules is None or rules.search is None or rules.search.over == "fold":
            return ()
        return tuple(self.in_fold(fold) for fold in range(self.protocol.folds) if fold != self.fold)

    def resolved(self) -> dict[str, Any]:
        """Return everything that can change a number of this run, except the data."""
        protocol = {key: value for key, value in self.protocol.settings().items() if key not in _TABLE_FIELDS}
        if self.protocol.splits is not None:  # its place is of no importance, and records name no machine
            protocol["splits"] = _file_digest(Path(self.protocol.splits))
        resolved: dict[str, Any] = {
            "schema": RECORD_SCHEMA,
            "dataset": self.dataset.resolved(),
            "model": self.model.resolved(),
            "protocol": protocol,
            "fold": self.fold,
            "seed": self.seed,
            "phantom": self.phantom.model_dump(mode="json") if self.phantom else None,
            "members": [member.digest for member in self.members],
        }
        if self.external is not None:  # the digests of all other runs stay
            resolved["external"] = self.external.resolved(self.fold)
        if digests := extension_digests(self.protocol):  # the digests of other runs stay
            resolved["extensions"] = digests
        if self.tuning is not None:  # the digests of other runs stay
            resolved["tuning"] = self.tuning.resolved()
        if self.control is not None:  # the digests of other runs stay
            resolved["control"] = self.control
        return resolved

    @property
    def digest(self) -> str:
        """SHA-256 of `resolved`."""
        return hashlib.sha256(json.dumps(self.resolved(), sort_keys=True).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, which is read again only after it has changed."""
    status = path.stat()
    return _known_digest(path, status.st_mtime_ns, status.st_size)


@cache
def _known_digest(path: Path, _changed_ns: int, _size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
