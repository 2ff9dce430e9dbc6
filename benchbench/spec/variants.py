"""The variants of a benchmark: every named variant at every point of the grid, each validated on its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from benchbench.errors import SpecError
from benchbench.spec.benchmark_file import BenchmarkFile, DatasetEntry, EntryCheck, ModelEntry, validate
from benchbench.spec.document import Document, nearest
from benchbench.spec.own_protocols import OwnProtocol, read_own_protocols
from benchbench.spec.protocol import Protocol
from benchbench.spec.toml_text import KeyPath

_MOST_VARIANTS = 1000
_REHEARSED_TEST = 0.2  # share of the phantom patients that is tested in place of the part of a file with one split


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The benchmark with all settings of one variant applied."""

    label: str
    """Name of the variant; "default" if the file has neither variants nor grid."""
    protocol: Protocol
    datasets: tuple[DatasetEntry, ...]
    models: tuple[ModelEntry, ...]
    own_protocols: tuple[OwnProtocol, ...] = ()
    """Protocols of the models that differ from `protocol`."""

    def protocol_of(self, model: str) -> Protocol:
        """Return the protocol of a model, by the name of its row."""
        for changed in self.own_protocols:
            if changed.model == model:
                return changed.protocol
        return self.protocol

    def protocols(self) -> Iterator[tuple[KeyPath, str, Protocol]]:
        """Yield every protocol with its place in the file and the words that name it in messages."""
        yield ("protocol",), "protocol", self.protocol
        for changed in self.own_protocols:
            yield changed.place, f"models.{changed.model}.protocol", changed.protocol


class _Point(NamedTuple):
    """A variant as the file names it: its table, at one point of the grid."""

    label: str
    changes: list[_Change]
    models: tuple[str, ...]
    """The models of the table; empty for all."""
    place: KeyPath
    """Place of the table in the file; empty where the file has no variants."""


class _Change(NamedTuple):
    dotted: str
    value: Any
    written: KeyPath
    """Place of the change in the file."""


def expand_variants(
    document: Document, base: BenchmarkFile, check: EntryCheck, *, rehearse: bool
) -> tuple[Variant, ...]:
    """Return all variants of a file; `rehearse` applies the changes of [rehearse.variants] to them.

    Raises:
        SpecError: names every problem of every variant.
    """
    _check_count(document, base)
    variants: list[Variant] = []
    problems: dict[str, None] = {}  # a dict keeps the order and drops repetitions
    labels: set[str] = set()
    for point in _points(base):
        label, changes = point.label, point.changes
        if label in labels:
            place = document.where(changes[-1].written if changes else ("variants",))
            problems[f"{place}: two variants are called '{label}'; give each its own label"] = None
        labels.add(label)
        rehearsed = base.rehearse.variants.get(label, {}) if rehearse else {}
        small = _changes(rehearsed, ("rehearse", "variants", label))
        try:
            variant = _variant(document, label, [*changes, *small], check)
            variant = _with_split_file(variant, document, rehearse=rehearse)
            variants.append(_with_models(variant, point, document))
        except SpecError as error:
            problems.update(dict.fromkeys(error.problems))
    for label in base.rehearse.variants:
        if label not in labels:
            place = document.where(("rehearse", "variants", label))
            hint = nearest(label, sorted(labels))
            problems[f"{place}: rehearse.variants.{label}: no such variant; {hint}"] = None
    if problems:
        raise SpecError(*problems)
    return tuple(variants)


def _with_split_file(variant: Variant, document: Document, *, rehearse: bool) -> Variant:
    """Return the variant with the path of its split file from here; a rehearsal has other patients and no file.

    Raises:
        SpecError: there is no such file.
    """
    protocol = variant.protocol
    if protocol.splits is None:
        return variant
    if rehearse:
        test = _REHEARSED_TEST if protocol.folds == 1 else None
        return _with_split(variant, {"splits": None, "allow_leaky_split": False, "test": test})
    path = Path(document.name).parent / protocol.splits
    if not path.is_file():
        place = document.where(("protocol", "splits"))
        raise SpecError(f"{place}: protocol.splits: no file {path}; give a path relative to the benchmark file")
    return _with_split(variant, {"splits": str(path)})


def _with_split(variant: Variant, changes: Mapping[str, Any]) -> Variant:
    """Return the variant with these changes to the protocol of every model."""
    protocol = variant.protocol.model_copy(update=changes)
    changed = variant.own_protocols
    moved = tuple(replace(one, protocol=one.protocol.model_copy(update=changes)) for one in changed)
    return replace(variant, protocol=protocol, own_protocols=moved)


def _check_count(document: Document, base: BenchmarkFile) -> None:
    """Raise SpecError before more variants are expanded than anybody can run."""
    count = max(len(base.variants), 1) * math.prod(len(values) for values in base.grid.values())
    if count > _MOST_VARIANTS:
        place = document.where(("grid",))
        expected = f"at most {_MOST_VARIANTS:,}"
        raise SpecError(f"{place}: grid: found {count:,} variants, expected {expected}; split the file")


def _points(file: BenchmarkFile) -> Iterator[_Point]:
    """Yield every variant of the file; one called `default` if nothing varies."""
    named: list[_Point] = []
    for number, table in enumerate(file.variants):
        place: KeyPath = ("variants", number)
        named.append(_Point(table.label, _changes(table.set, (*place, "set")), table.models, place))
    for point in named or [_Point("", [], (), ())]:
        for values in itertools.product(*file.grid.values()):
            combination = dict(zip(file.grid, values, strict=True))
            changes = [*point.changes, *_changes(combination, ("grid",))]
            yield point._replace(label=_label(point.label, combination), changes=changes)


def _with_models(variant: Variant, point: _Point, document: Document) -> Variant:
    """Return the variant with the models that its table names alone; with all if it names none."""
    if not point.models:
        return variant
    _check_models(point, [model.row for model in variant.models], document)
    models = tuple(model for model in variant.models if model.row in point.models)
    protocols = tuple(changed for changed in variant.own_protocols if changed.model in point.models)
    return replace(variant, models=models, own_protocols=protocols)


def _check_models(point: _Point, known: Sequence[str], document: Document) -> None:
    """Raise SpecError if a variant names a model that the file lacks, or one twice."""
    place = f"{document.where((*point.place, 'models'))}: variants.{point.place[-1]}.models"
    problems: list[str] = []
    for position, name in enumerate(point.models):
        if name not in known:
            problems.append(f"{place}: no such model '{name}'; {nearest(name, known)}")
        elif name in point.models[:position]:
            problems.append(f"{place}: '{name}' is listed twice; name each model once")
    if problems:
        raise SpecError(*problems)


def _changes(settings: Mapping[str, Any], table: KeyPath) -> list[_Change]:
    return [_Change(dotted, value, (*table, dotted)) for dotted, value in settings.items()]


def _label(label: str, point: Mapping[str, Any]) -> str:
    parts = [label] if label else []
    for path, value in point.items():
        key = path.rpartition(".")[2]
        parts.append(f"{key}={value}")
    return ", ".join(parts) or "default"


def _variant(document: Document, label: str, changes: Sequence[_Change], check: EntryCheck) -> Variant:
    for change in changes:
        place = f"{document.where(change.written)}: variant '{label}'"
        document = document.assign(change.dotted, change.value, origin=place)
    file = validate(document, check)
    changed = read_own_protocols(document, common=file.protocol)
    return Variant(
        label=label,
        protocol=file.protocol,
        datasets=file.datasets,
        models=file.models,
        own_protocols=tuple(changed),
    )
