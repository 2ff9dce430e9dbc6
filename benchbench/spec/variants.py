"""The variants of a benchmark: every named variant at every point of the grid, each validated on its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from benchbench.errors import SpecError
from benchbench.spec.benchmark_file import BenchmarkFile, DatasetEntry, Entry, EntryCheck, validate
from benchbench.spec.document import Document, nearest
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
    models: tuple[Entry, ...]


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
    for label, changes in _points(base):
        if label in labels:
            place = document.where(changes[-1].written if changes else ("variants",))
            problems[f"{place}: two variants are called '{label}'; give each its own label"] = None
        labels.add(label)
        rehearsed = base.rehearse.variants.get(label, {}) if rehearse else {}
        small = _changes(rehearsed, ("rehearse", "variants", label))
        try:
            variant = _variant(document, label, [*changes, *small], check)
            variants.append(_with_split_file(variant, document, rehearse=rehearse))
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
        return replace(variant, protocol=protocol.model_copy(update={"splits": None, "test": test}))
    path = Path(document.name).parent / protocol.splits
    if not path.is_file():
        place = document.where(("protocol", "splits"))
        raise SpecError(f"{place}: protocol.splits: no file {path}; give a path relative to the benchmark file")
    return replace(variant, protocol=protocol.model_copy(update={"splits": str(path)}))


def _check_count(document: Document, base: BenchmarkFile) -> None:
    """Raise SpecError before more variants are expanded than anybody can run."""
    count = max(len(base.variants), 1) * math.prod(len(values) for values in base.grid.values())
    if count > _MOST_VARIANTS:
        place = document.where(("grid",))
        expected = f"at most {_MOST_VARIANTS:,}"
        raise SpecError(f"{place}: grid: found {count:,} variants, expected {expected}; split the file")


def _points(file: BenchmarkFile) -> Iterator[tuple[str, list[_Change]]]:
    """Yield the label and changes of every variant; one called `default` if nothing varies."""
    named = [
        (variant.label, _changes(variant.set, ("variants", number, "set")))
        for number, variant in enumerate(file.variants)
    ]
    for label, changes in named or [("", [])]:
        for values in itertools.product(*file.grid.values()):
            point = dict(zip(file.grid, values, strict=True))
            yield _label(label, point), [*changes, *_changes(point, ("grid",))]


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
    return Variant(label=label, protocol=file.protocol, datasets=file.datasets, models=file.models)
