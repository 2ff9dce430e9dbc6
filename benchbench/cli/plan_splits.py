"""The sizes of the parts of every fold, as `benchbench plan` prints them before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchbench.comparison.floor import tested_patients
from benchbench.contract import CaseRef, Dataset
from benchbench.cores import available_cores
from benchbench.data.folder import open_dataset
from benchbench.data.folds import PARTS
from benchbench.data.region_strata import metadata_for_strata
from benchbench.data.split_file import folds_of
from benchbench.engine.preparation.slice_count import count_slices
from benchbench.errors import DataError
from benchbench.plan.run import Run, RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.records.record import Record
from benchbench.records.split import Row
from benchbench.registry.registry import Registry
from benchbench.spec.protocol import Protocol
from benchbench.tables.splits import split_rows, split_sizes


class PlannedSizes(NamedTuple):
    """The sizes that are known."""

    sizes: pd.DataFrame
    """Patients, cases and slices, by dataset, variant, fold and part."""
    remarks: Sequence[str]
    """A line for each dataset whose sizes are not known, with the reason, and further notes on the plan."""


def count_tested(sizes: pd.DataFrame) -> dict[str, int]:
    """Return dataset -> number of tested patients over all folds, of the first variant with known sizes."""
    numbers: dict[str, int] = {}
    if sizes.empty:
        return numbers
    tested = sizes[sizes["part"] == "test"]
    for (dataset, _), lines in tested.groupby(["dataset", "variant"], sort=False):
        numbers.setdefault(str(dataset), int(lines["patients"].sum()))
    return numbers


def count_patients(runs: Sequence[Run], registry: Registry, *, data_root: Path | None) -> dict[str, int]:
    """Return dataset -> number of tested patients over all folds, from the cases that are in the data root.

    A dataset that cannot be opened, or whose data are phantoms, is left out.
    """
    numbers: dict[str, int] = {}
    for run in runs:
        if data_root is None or run.phantom or run.dataset.name in numbers:
            continue
        try:
            dataset = open_dataset(registry.named_dataset(run.dataset), run.dataset.params, data_root=data_root)
            cases = dataset.cases()
        except DataError:
            continue
        patients = {case.patient for case in cases}
        numbers[run.dataset.name] = tested_patients(len(patients), run.protocol)
    return numbers


def planned_sizes(
    runs: Sequence[Run], folders: Sequence[ResultsFolder], registry: Registry, *, data_root: Path | None
) -> PlannedSizes:
    """Return the sizes of the parts: of finished runs as recorded, of other runs from the files of the dataset.

    Of NIfTI files only the headers are read; others are decoded to count their slices.
    """
    rows = list(_recorded_rows(runs, folders))
    recorded = {(row["dataset"], row["variant"], row["fold"]) for row in rows}
    remarks: dict[str, None] = {}
    known: dict[str, list[Row]] = {}
    for run in runs:
        place = (run.key.dataset, run.key.variant, run.key.fold)
        if place in recorded:
            continue
        recorded.add(place)
        if data_root is None:
            remarks[f"sizes of the parts of {run.dataset.name}: known after a run, or with --data-root"] = None
            continue
        try:
            of_fold = _rows_of_fold(run, registry, data_root, known)
        except DataError as error:
            remarks[f"sizes of the parts of {run.dataset.name}: not known: {error.problems[0]}"] = None
        else:
            rows += of_fold
    return PlannedSizes(split_sizes(rows), list(remarks))


def _recorded_rows(runs: Sequence[Run], folders: Sequence[ResultsFolder]) -> Iterator[Row]:
    for folder in folders:
        records: dict[RunKey, Record] = {}
        for run in runs:
            record = folder.run(run.key).read_record()
            if record is not None and record.digest == run.digest:
                records[run.key] = record
        rows = split_rows(folder, records)
        if rows:
            yield from rows
            return


def _rows_of_fold(run: Run, registry: Registry, data_root: Path, known: dict[str, list[Row]]) -> list[Row]:
    """Return the rows of a run's fold; `known` has those of all folds of the settings that were read before."""
    protocol = run.protocol
    splitting = (
        *(protocol.folds, protocol.validation, protocol.test, protocol.splits, protocol.stratify),
        *(protocol.ndim, protocol.slice_axis),
    )
    settings = f"{run.dataset.name} {dict(run.dataset.params)} {splitting}"
    if settings not in known:
        dataset = open_dataset(registry.named_dataset(run.dataset), run.dataset.params, data_root=data_root)
        known[settings] = list(_rows_of(dataset, protocol))
    place = {"dataset": run.key.dataset, "variant": run.key.variant}
    return [{**place, **row} for row in known[settings] if row["fold"] == run.key.fold]


def _rows_of(dataset: Dataset, protocol: Protocol) -> Iterator[Row]:
    cases: Sequence[CaseRef] = dataset.cases()
    folds = folds_of(cases, protocol, metadata_for_strata(dataset, cases, protocol.stratify))
    slices: Mapping[str, int] = count_slices(dataset, cases, protocol, threads=available_cores())
    for fold in folds:
        for part in PARTS:
            for case in fold.part(part):
                row: Row = {"case": case.id, "patient": case.patient, "fold": fold.number, "part": part}
                yield {**row, "slices": slices[case.id]}
