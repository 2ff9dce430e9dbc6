"""Reads a benchmark file into a `Benchmark`: validated, with every variant expanded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchbench.errors import SpecError
from benchbench.spec.benchmark_file import BenchmarkFile, DatasetEntry, EntryCheck, PhantomSize, validate
from benchbench.spec.controls import Control
from benchbench.spec.document import Document, parse_value, read_document
from benchbench.spec.ensembles import EnsembleSpec
from benchbench.spec.external import ExternalSpec, external_problems
from benchbench.spec.file_names import is_slug
from benchbench.spec.own_protocols import with_named_tables, without_rehearsed
from benchbench.spec.reported import PrintedTable, read_reported
from benchbench.spec.table_specs import CurvesSpec, ListingSpec, TableSpec
from benchbench.spec.tuning import TuneTable
from benchbench.spec.variants import Variant, expand_variants

EntryDescription = Callable[[DatasetEntry], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A validated benchmark file with all its variants."""

    name: str
    """Name of the file without suffix, and of the results folder."""
    title: str
    variants: tuple[Variant, ...]
    ensembles: tuple[EnsembleSpec, ...]
    """Ensembles, with all their members named."""
    external: tuple[ExternalSpec, ...]
    """Rows whose predictions another tool has made; none in a rehearsal, whose patients are others."""
    tune: TuneTable | None
    """Tuning of every model; in a rehearsal with its small budget."""
    tables: tuple[TableSpec, ...]
    listings: tuple[ListingSpec, ...]
    curves: CurvesSpec | None
    """A figure of learning curves by two settings."""
    delta: Mapping[str, float]
    """Metric -> the smallest difference that matters; defaults are not listed."""
    controls: tuple[Control, ...]
    """Rows whose outcome is known if nothing is wrong."""
    reported: tuple[PrintedTable, ...]
    """Printed tables of a publication that the results are compared with."""
    deviations: tuple[str, ...]
    """Sentences on how the benchmark differs from that publication."""
    rehearsal: PhantomSize | None
    """Amount of phantom data that replaces the real data; None without --rehearse."""
    overrides: tuple[str, ...]
    """Changes of the command line, as `path=value`."""
    document: Document = field(compare=False, repr=False)
    """The file after all changes, for the places of problems."""


def read_benchmark(
    path: Path,
    *,
    check: EntryCheck,
    overrides: Sequence[str] = (),
    rehearse: bool = False,
    describe: EntryDescription = lambda _: {},
) -> Benchmark:
    """Read a benchmark file, with the changes of its rehearsal and of the `path=value` overrides.

    `describe` returns the parameters of a dataset that its files give; those of the file are preferred.

    Raises:
        SpecError: names every problem, each with file, line and key.
    """
    document = with_named_tables(read_document(path))
    name = _benchmark_name(path)
    base = validate(document, check)
    if rehearse:
        document = without_rehearsed(document, base.rehearse.protocol)
        for table, changes in (("protocol", base.rehearse.protocol), ("models", base.rehearse.models)):
            document = document.overlay(table, changes, origin=document.where(("rehearse", table)))
    for override in overrides:
        document = _override(document, override)
    document = _with_descriptions(document, validate(document, check).datasets, describe)
    base = validate(document, check)
    variants = expand_variants(document, base, check, rehearse=rehearse)
    model_names = [model.row for model in base.models]
    _check_external(document, base, [variant.label for variant in variants])
    reported: list[PrintedTable] = []
    if base.reproduce:
        reported += read_reported(path.parent / "reported", base.reproduce)
    return Benchmark(
        name=name,
        title=base.title,
        variants=variants,
        ensembles=tuple(ensemble.among(model_names) for ensemble in base.ensembles),
        external=() if rehearse else base.external,
        tune=_tune_of(base, rehearse=rehearse),
        tables=base.tables,
        listings=base.listings,
        curves=base.curves,
        delta=base.statistics.delta,
        controls=base.controls.controls,
        reported=tuple(reported),
        deviations=base.deviations,
        rehearsal=base.rehearse.data if rehearse else None,
        overrides=tuple(overrides),
        document=document,
    )


def _tune_of(base: BenchmarkFile, *, rehearse: bool) -> TuneTable | None:
    if base.tune is None or not rehearse:
        return base.tune
    small = {"trials": base.rehearse.tune.trials, "epochs": None, "seconds": None}
    return base.tune.model_copy(update=small)


def _check_external(document: Document, base: BenchmarkFile, variants: Sequence[str]) -> None:
    """Raise SpecError with every problem of the external rows of a file."""
    taken = [model.row for model in base.models] + [ensemble.name for ensemble in base.ensembles]
    datasets = [entry.name for entry in base.datasets]
    problems = list(external_problems(document, base.external, taken=taken, datasets=datasets, variants=variants))
    if problems:
        raise SpecError(*problems)


def _with_descriptions(
    document: Document, datasets: Sequence[DatasetEntry], describe: EntryDescription
) -> Document:
    """Return the document with the parameters that the files of its datasets give."""
    for entry in datasets:
        for key, value in describe(entry).items():
            if key not in entry.params:
                origin = f"the files of {entry.name}"
                document = document.assign(f"datasets.{entry.name}.{key}", value, origin=origin)
    return document


def _benchmark_name(path: Path) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", path.stem) or path.stem == "rehearsal" or not is_slug(path.stem):
        raise SpecError(
            f"{path}: '{path.stem}' names the results folder; use at most 60 lower-case letters, digits,"
            " _ and - (and neither 'rehearsal' nor a name that Windows keeps for devices, such as 'con')"
        )
    return path.stem


def _override(document: Document, override: str) -> Document:
    dotted, equals, text = override.partition("=")
    if not equals:
        raise SpecError(f"--set {override}: no '='; write it like --set protocol.epochs=2")
    return document.assign(dotted.strip(), parse_value(text), origin=f"--set {override}")
