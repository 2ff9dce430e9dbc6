"""Scores computed again from saved masks and the reference of the dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchbench.contract import CaseRef, Dataset
from benchbench.cores import available_cores
from benchbench.data.case_checks import load_case
from benchbench.data.digests import case_digests, dataset_digest
from benchbench.data.folder import open_dataset
from benchbench.engine.preparation.prepare import NativeReference, native_reference
from benchbench.images.arrays import Mask, scored_mask
from benchbench.metrics.scores import Counts, measure_regions
from benchbench.plan.run import Chosen
from benchbench.records.folder import ResultsFolder
from benchbench.records.record import Record
from benchbench.records.run_folder import RunFolder
from benchbench.records.split import read_split
from benchbench.records.table_columns import read_checked
from benchbench.registry.parameters import resolve_params
from benchbench.registry.registry import Registry, discover
from benchbench.tables.results import Results
from benchbench.verification.records import PREDICTIONS, SLICES, saved_masks

_CASES = "cases.parquet"
_TOLERANCE = 1e-9  # of distances, which another processor may round otherwise
Row = Mapping[str, Any]


class Rescored(NamedTuple):
    """The outcome of scoring saved masks again."""

    cases: int
    masks: int
    faults: list[str]


def rescore(folder: ResultsFolder, results: Results, data_root: Path) -> Rescored:
    """Score the saved masks of all runs with the reference in `<data_root>/<dataset>`.

    Raises:
        DataNotFoundError: the dataset is not there.
        DataError: a case cannot be read.
    """
    registry = discover()
    everything = results.with_controls or results
    references = _References(registry, data_root)
    faults: list[str] = []
    cases: set[tuple[str, str]] = set()
    n_masks = 0
    for key, record in everything.records.items():
        run = folder.run(key)
        if PREDICTIONS not in record.files or not (run.path / PREDICTIONS).exists():
            continue
        fault = references.data_fault(run, record)
        if fault:
            faults.append(fault)
            continue
        saved = _SavedRun(run, record, everything.metrics(key.variant))
        for case_id, masks in saved.masks_by_case().items():
            faults += saved.faults(case_id, masks, references.get(record, case_id))
            cases.add((key.dataset, case_id))
            n_masks += len(masks)
    return Rescored(len(cases), n_masks, faults)


class _References:
    """The references of cases, each read once for the same dataset and axes."""

    def __init__(self, registry: Registry, data_root: Path) -> None:
        self._registry = registry
        self._data_root = data_root
        self._datasets: dict[str, Dataset] = {}
        self._references: dict[tuple[str, str, int, str], NativeReference] = {}
        self._digests: dict[tuple[str, tuple[str, ...]], str] = {}

    def get(self, record: Record, case_id: str) -> NativeReference:
        protocol = record.resolved["protocol"]
        key = (_dataset_key(record), case_id, protocol["ndim"], protocol["slice_axis"])
        if key not in self._references:
            dataset = self._dataset(record)
            case = load_case(dataset, case_id)
            self._references[key] = native_reference(
                case, dataset.task, ndim=protocol["ndim"], slice_axis=protocol["slice_axis"]
            )
        return self._references[key]

    def data_fault(self, run: RunFolder, record: Record) -> str:
        """Return a line if the files of the dataset are not those that the run used; '' if they are."""
        rows = read_split(run, record)
        if not rows:
            return ""
        names = tuple(sorted(str(row["case"]) for row in rows))
        key = (_dataset_key(record), names)
        if key not in self._digests:
            dataset = self._dataset(record)
            refs = [CaseRef(name, name) for name in names]
            self._digests[key] = dataset_digest(case_digests(dataset, refs, threads=available_cores()))
        digest = self._digests[key]
        if digest == record.data_digest:
            return ""
        return (
            f"{run.path / 'run.json'}: data_digest: found {record.data_digest[:12]}, but the files of"
            f" {record.dataset} in the data root have {digest[:12]}; copy the dataset again"
        )

    def _dataset(self, record: Record) -> Dataset:
        key = _dataset_key(record)
        if key not in self._datasets:
            chosen = Chosen(**record.resolved["dataset"])
            plugin = self._registry.named_dataset(chosen)
            self._datasets[key] = open_dataset(
                plugin, resolve_params(plugin.open, chosen.params), data_root=self._data_root
            )
        return self._datasets[key]


def _dataset_key(record: Record) -> str:
    return repr(record.resolved["dataset"])


class _SavedRun:
    """The saved masks of a run, and the counts and distances that it recorded of them."""

    def __init__(self, run: RunFolder, record: Record, metrics: list[str]) -> None:
        self._run = run
        self._metrics = metrics
        self._masks = saved_masks(run, record)
        self._cases = {_place(row): row for row in read_checked(run, _CASES, record).to_pylist()}
        self._slices: dict[tuple[str, str], list[Row]] = {}
        for row in read_checked(run, SLICES, record).to_pylist():
            self._slices.setdefault(_place(row), []).append(row)

    def masks_by_case(self) -> dict[str, dict[str, Mask]]:
        by_case: dict[str, dict[str, Mask]] = {}
        for (case_id, region), mask in self._masks.items():
            by_case.setdefault(case_id, {})[region] = mask
        return by_case

    def faults(self, case_id: str, masks: Mapping[str, Mask], reference: NativeReference) -> Iterator[str]:
        """Yield every slice and every distance of a case that is not as recorded."""
        stack = np.stack(list(masks.values()), axis=1)
        if stack.shape[0] != reference.bits.shape[0] or stack.shape[2:] != reference.bits.shape[1:]:
            shape = (stack.shape[0], *stack.shape[2:])
            yield (
                f"{self._run.path / PREDICTIONS}: case {case_id}: found masks of {shape}, expected"
                f" {reference.bits.shape} like the reference"
            )
            return
        scored = scored_mask(reference.bits, regions=len(masks))
        for number, (region, mask) in enumerate(masks.items()):
            if reference.unlabelled_bits >> number & 1:
                continue
            expected = (reference.bits >> number & 1).astype(np.bool_)
            yield from self._count_faults((case_id, region), mask, expected, scored)
        measured = measure_regions(reference.bits, stack, metrics=self._metrics, spacing_mm=reference.spacing_mm)
        for number, (region, distances) in enumerate(zip(masks, measured, strict=True)):
            if not reference.unlabelled_bits >> number & 1:
                yield from self._distance_faults((case_id, region), distances)

    def _count_faults(
        self, place: tuple[str, str], mask: Mask, expected: Mask, scored: Mask | None
    ) -> Iterator[str]:
        for row in self._slices.get(place, []):
            at = row["slice"]
            if not 0 <= at < len(mask):
                where = f"{self._run.path / SLICES}: case {place[0]}, region {place[1]}"
                yield f"{where}: found slice {at}, but the masks have {len(mask)} slices"
                continue
            of_slice = None if scored is None else scored[at]
            counted = _count(mask[at], expected[at], of_slice)
            recorded = Counts(*(row[name] for name in Counts._fields))
            if counted != recorded:
                yield (
                    f"{self._run.path / SLICES}: case {place[0]}, slice {at}, region {place[1]}: found"
                    f" {_text(recorded)}, but the masks have {_text(counted)}"
                )

    def _distance_faults(self, place: tuple[str, str], distances: Mapping[str, float]) -> Iterator[str]:
        row = self._cases.get(place)
        if row is None:
            case, region = place
            yield f"{self._run.path / _CASES}: case {case}, region {region}: found no row, expected its scores"
            return
        for name, value in distances.items():
            recorded = row.get(name)
            stored = math.nan if recorded is None else float(recorded)
            is_equal = math.isclose(stored, value, rel_tol=_TOLERANCE) or (
                math.isnan(stored) and math.isnan(value)
            )
            if not is_equal:
                yield (
                    f"{self._run.path / _CASES}: case {place[0]}, region {place[1]}: {name}: found {stored:.6g},"
                    f" but the masks have {value:.6g}"
                )


def _place(row: Row) -> tuple[str, str]:
    return row["case"], row["region"]


def _count(mask: Mask, expected: Mask, scored: Mask | None) -> Counts:
    if scored is not None:
        mask, expected = mask[scored], expected[scored]
    tp = int((mask & expected).sum())
    fp = int(mask.sum()) - tp
    fn = int(expected.sum()) - tp
    return Counts(tp, fp, fn, mask.size - tp - fp - fn)


def _text(counts: Counts) -> str:
    return ", ".join(f"{name} {value}" for name, value in counts._asdict().items())
