"""Reads a benchmark file into a `Benchmark`: validated, and with every variant resolved."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchbench.errors import SpecError
from benchbench.spec.document import Document, KeyPath, nearest, parse_value, read_document
from benchbench.spec.ensembles import EnsembleSpec, ensemble_problems
from benchbench.spec.messages import describe
from benchbench.spec.metric_names import Metric, is_overlap
from benchbench.spec.protocol import Protocol
from benchbench.spec.reported import read_reported
from benchbench.spec.strict import Count, Strict
from benchbench.spec.value_names import check_value

Axis = Literal["dataset", "model", "variant", "fold", "seed"]
GroupAxis = Literal["dataset", "model", "variant"]
Aggregate = Literal["case", "slice", "pooled"]
LABELS = ("dataset", "model", "variant", "metric")
SETTINGS = ("protocol.", "models.", "datasets.")
Problem = tuple[str, str]
"""A parameter and what is wrong with it; the parameter is '' where the entry as a whole is wrong."""
EntryCheck = Callable[[str, str, Mapping[str, Any]], Sequence[Problem]]
"""(\"datasets\" or \"models\", plugin name, parameters) -> problems."""


class Entry(BaseModel):
    """A dataset or a model of the benchmark: a plugin's name and its parameters beside it."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: str

    @property
    def params(self) -> Mapping[str, Any]:
        return self.model_extra or {}


class VariantTable(Strict):
    """One point of a sweep, by name: dotted paths and what they are set to."""

    label: Annotated[str, Field(min_length=1)]
    set: dict[str, Any]


class TableSpec(Strict):
    """A pivot of the fold values, as documents print it."""

    rows: Axis
    columns: Axis
    value: Metric
    aggregate: Aggregate = "case"
    sd: bool = True
    """Whether rows of folds end in their standard deviation; documents often print the mean alone."""

    @model_validator(mode="after")
    def _two_axes(self) -> Self:
        if self.rows == self.columns:
            raise ValueError(f"rows and columns are both '{self.rows}'; choose two axes")
        return self

    @model_validator(mode="after")
    def _has_aggregate(self) -> Self:
        if self.aggregate != "case" and not is_overlap(self.value):
            raise ValueError(
                f"{self.value} is measured case by case, found aggregate '{self.aggregate}'; use 'case'"
            )
        return self


class ListingSpec(Strict):
    """A table with a line for each dataset, model or variant and a heading of its own for each column.

    A column shows an axis (`variant`), the line's name (`metric`), a setting (`protocol.optimizer.lr`, or whether
    it is what stands behind an =, `models.unet.norm=batch`), or a value of the runs, where {metric} is the line's.
    """

    title: Annotated[str, Field(min_length=1)]
    rows: GroupAxis | None = None
    where: dict[GroupAxis, tuple[str, ...]] = Field(default_factory=dict)
    """Axis -> what of it the table is of; of any other, all."""
    lines: dict[str, str] = Field(default_factory=dict)
    """Several lines for each row: name -> what {metric} stands for."""
    columns: Annotated[dict[str, str], Field(min_length=1)]
    """Heading -> what the column shows."""

    @model_validator(mode="after")
    def _columns_are_known(self) -> Self:
        for heading, source in self.columns.items():
            for metric in self.lines.values() or [""]:
                if not is_label(source):
                    _check_column(heading, source.replace("{metric}", metric))
        return self


def is_label(source: str) -> bool:
    """Whether a column of a listing says which line it is, rather than what was measured."""
    return source in LABELS or source.startswith(SETTINGS)


def _check_column(heading: str, name: str) -> None:
    try:
        check_value(name)
    except ValueError as error:
        raise ValueError(f"column '{heading}': {error}") from error


class PhantomSize(Strict):
    """How much phantom data a rehearsal makes."""

    patients: Count = 12
    size: Annotated[int, Field(ge=32)] = 64
    """Pixels along an axis."""
    seed: Annotated[int, Field(ge=0)] = 0


class Rehearse(Strict):
    """What `--rehearse` changes."""

    data: PhantomSize = PhantomSize()
    protocol: dict[str, Any] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Label of a variant -> what it sets after all that the file says."""


class BenchmarkFile(Strict):
    """The tables of a benchmark file."""

    title: str
    datasets: Annotated[tuple[Entry, ...], Field(min_length=1)]
    models: Annotated[tuple[Entry, ...], Field(min_length=1)]
    protocol: Protocol
    variants: tuple[VariantTable, ...] = ()
    grid: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(default_factory=dict)
    ensembles: tuple[EnsembleSpec, ...] = ()
    tables: tuple[TableSpec, ...] = ()
    listings: tuple[ListingSpec, ...] = ()
    reproduce: str = ""
    """Name under which `reported/*.toml`, beside this file, have the tables to hold the measured against."""
    deviations: tuple[str, ...] = ()
    """What is done otherwise than where those were printed."""
    rehearse: Rehearse = Rehearse()


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The benchmark under one setting of what varies."""

    label: str
    protocol: Protocol
    datasets: tuple[Entry, ...]
    models: tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A benchmark file, validated and resolved."""

    name: str
    title: str
    variants: tuple[Variant, ...]
    ensembles: tuple[EnsembleSpec, ...]
    """Each with its members named."""
    tables: tuple[TableSpec, ...]
    listings: tuple[ListingSpec, ...]
    reported: tuple[Mapping[str, Any], ...]
    """Tables as they were printed, to hold the measured against."""
    deviations: tuple[str, ...]
    rehearsal: PhantomSize | None
    """The phantom data that stand in for the real; None in earnest."""
    overrides: tuple[str, ...]
    """What was changed about the file, as `path=value`."""
    document: Document = field(compare=False, repr=False)


def read_benchmark(
    path: Path,
    *,
    check: EntryCheck,
    overrides: Sequence[str] = (),
    rehearse: bool = False,
) -> Benchmark:
    """The benchmark that a file, its rehearsal and the `path=value` overrides describe.

    Raises:
        SpecError: with every problem found, each with file, line and key.
    """
    document = read_document(path)
    name = _benchmark_name(path)
    base = _validate(document, check)
    if rehearse:
        for table, changes in (("protocol", base.rehearse.protocol), ("models", base.rehearse.models)):
            document = document.overlay(table, changes, origin=document.where(("rehearse", table)))
    for override in overrides:
        document = _override(document, override)
    base = _validate(document, check)
    return Benchmark(
        name=name,
        title=base.title,
        variants=_variants(document, base, check, rehearse=rehearse),
        ensembles=tuple(each.among([model.name for model in base.models]) for each in base.ensembles),
        tables=base.tables,
        listings=base.listings,
        reported=tuple(read_reported(path.parent / "reported", base.reproduce)) if base.reproduce else (),
        deviations=base.deviations,
        rehearsal=base.rehearse.data if rehearse else None,
        overrides=tuple(overrides),
        document=document,
    )


def _benchmark_name(path: Path) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", path.stem) or path.stem == "rehearsal":
        raise SpecError(
            f"{path}: '{path.stem}' names the results folder; use lower-case letters, digits, _ and -"
            " (and not 'rehearsal')"
        )
    return path.stem


def _override(document: Document, override: str) -> Document:
    dotted, equals, text = override.partition("=")
    if not equals:
        raise SpecError(f"--set {override}: no '='; write it like --set protocol.epochs=2")
    return document.assign(dotted.strip(), parse_value(text), origin=f"--set {override}")


class _Change(NamedTuple):
    dotted: str
    value: Any
    written: KeyPath
    """Where in the file."""


def _variants(
    document: Document, base: BenchmarkFile, check: EntryCheck, *, rehearse: bool
) -> tuple[Variant, ...]:
    variants: list[Variant] = []
    problems: dict[str, None] = {}  # in the order found, each once
    labels: set[str] = set()
    rehearsed = base.rehearse.variants if rehearse else {}
    for label, changes in _points(base):
        if label in labels:
            place = document.where(changes[-1].written if changes else ("variants",))
            problems[f"{place}: two variants are called '{label}'; give each its own label"] = None
        labels.add(label)
        try:
            small = _changes(rehearsed.get(label, {}), "rehearse", "variants", label)
            variants.append(_variant(document, label, [*changes, *small], check))
        except SpecError as error:
            problems.update(dict.fromkeys(error.problems))
    for label in base.rehearse.variants:
        if label not in labels:
            place = document.where(("rehearse", "variants", label))
            problems[f"{place}: rehearse.variants.{label}: no such variant; {nearest(label, sorted(labels))}"] = (
                None
            )
    if problems:
        raise SpecError(*problems)
    return tuple(variants)


def _variant(document: Document, label: str, changes: Sequence[_Change], check: EntryCheck) -> Variant:
    for change in changes:
        place = f"{document.where(change.written)}: variant '{label}'"
        document = document.assign(change.dotted, change.value, origin=place)
    file = _validate(document, check)
    return Variant(label=label, protocol=file.protocol, datasets=file.datasets, models=file.models)


def _points(file: BenchmarkFile) -> Iterator[tuple[str, list[_Change]]]:
    """Each variant, at each point of the grid; one called `default` where nothing varies."""
    named = [(each.label, _changes(each.set, "variants", at, "set")) for at, each in enumerate(file.variants)]
    for label, changes in named or [("", [])]:
        for values in itertools.product(*file.grid.values()):
            point = dict(zip(file.grid, values, strict=True))
            yield _label(label, point), [*changes, *_changes(point, "grid")]


def _changes(settings: Mapping[str, Any], *table: str | int) -> list[_Change]:
    return [_Change(dotted, value, (*table, dotted)) for dotted, value in settings.items()]


def _label(label: str, point: Mapping[str, Any]) -> str:
    settings = [f"{path.rpartition('.')[2]}={value}" for path, value in point.items()]
    return ", ".join([label, *settings] if label else settings) or "default"


def _validate(document: Document, check: EntryCheck) -> BenchmarkFile:
    """The file's tables, or every problem of schema, plugin and parameter at once."""
    problems: list[str] = []
    file = None
    try:
        # strict JSON mode reads TOML's arrays as tuples and still refuses "5" for 5
        file = BenchmarkFile.model_validate_json(json.dumps(document.data, default=str))
    except ValidationError as error:
        problems += describe(error, document, BenchmarkFile)
    problems += _entry_problems(document, check)
    if file is not None:
        problems += ensemble_problems(document, file.ensembles, [model.name for model in file.models])
    if file is None or problems:
        raise SpecError(*problems)
    return file


def _entry_problems(document: Document, check: EntryCheck) -> Iterator[str]:
    for kind in ("datasets", "models"):
        entries = document.data.get(kind)
        if not isinstance(entries, list):
            continue  # the schema says so
        names = [entry.get("name") for entry in entries if isinstance(entry, Mapping)]
        for number, entry in enumerate(entries):
            if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
                continue  # the schema says so
            name = entry["name"]
            if name in names[:number]:
                yield f"{document.where((kind, number))}: {kind}: '{name}' stands here twice; use [[variants]]"
            params = {key: value for key, value in entry.items() if key != "name"}
            for key, message in check(kind, name, params):
                path = f"{kind}.{name}.{key}" if key else f"{kind}.{name}"
                yield f"{document.where((kind, number, key or 'name'))}: {path}: {message}"
