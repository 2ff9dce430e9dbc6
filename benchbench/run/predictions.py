"""Keeps the masks that a run predicted, and measures on them later what was not asked for at the time.

Training and inference are the cost of a run, distances are not: a benchmark file that asks for another metric
needs neither again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchbench.engine.inference.export import label_nifti
from benchbench.engine.preparation.prepare import PreparedCase
from benchbench.images.arrays import Mask
from benchbench.metrics.masks import pack, unpack
from benchbench.metrics.scores import measure_regions
from benchbench.results.files import slug
from benchbench.results.provenance import code_state, versions
from benchbench.results.record import Record
from benchbench.run.assignment import Assignment


def distances(prepared: PreparedCase, masks: Mask, metrics: Sequence[str]) -> list[dict[str, float]]:
    """The columns that masks (S, K, H, W) of a case add to its row of each region."""
    return measure_regions(prepared.native_label(), masks, metrics=metrics, spacing_mm=prepared.spacing_mm)


def pack_case(prepared: PreparedCase, regions: Sequence[str], masks: Mask) -> list[dict[str, Any]]:
    """A row for each region of a case: its mask (S, H, W) in few bytes."""
    named = zip(regions, np.moveaxis(masks, 1, 0), strict=True)
    return [{"case": prepared.case.id, "region": region, **pack(mask)} for region, mask in named]


def measure_unmeasured(assignment: Assignment, record: Record) -> Record:
    """The record of a run that is done, with the distances that were not asked for when it was.

    Raises:
        IntegrityError: the masks are not what the run left.
    """
    missing = assignment.unmeasured()
    if not missing:
        return record
    rows = assignment.folder.read_table("cases.parquet", record).to_pylist()
    found = dict(_of_kept_masks(assignment, record, missing))
    rows = [{**row, **found[row["case"], row["region"]]} for row in rows]
    by = {"metrics": missing, "code": code_state(), "versions": versions()}
    record = replace(record, provenance={**record.provenance, "measured": by})
    return assignment.folder.replace_table("cases.parquet", even_table(rows), record)


def export_masks(assignment: Assignment, record: Record) -> None:
    """Writes what was predicted for every test case as predictions/<case>.nii.gz, if that is asked for.

    Raises:
        IntegrityError: the masks are not what the run left.
    """
    if not assignment.unexported():
        return
    if "predictions.parquet" not in record.files:
        return  # a run that failed has none
    for prepared, masks in _kept_masks(assignment, record):
        content = label_nifti(prepared, masks, assignment.label_values)
        assignment.folder.write(f"predictions/{slug(prepared.case.id)}.nii.gz", content)


def even_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A table with every column of any row; empty where a row has none: a case is in mm or in pixels."""
    columns = dict.fromkeys(name for row in rows for name in row)
    return pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in rows])


def _of_kept_masks(
    assignment: Assignment, record: Record, metrics: Sequence[str]
) -> Iterator[tuple[tuple[str, str], dict[str, float]]]:
    """(case, region) and its distances."""
    for prepared, masks in _kept_masks(assignment, record):
        lines = distances(prepared, masks, metrics)
        named = [(prepared.case.id, region) for region in assignment.regions]
        yield from zip(named, lines, strict=True)


def _kept_masks(assignment: Assignment, record: Record) -> Iterator[tuple[PreparedCase, Mask]]:
    """Each test case with its masks (S, K, H, W)."""
    kept = assignment.folder.read_table("predictions.parquet", record)
    for prepared in assignment.test:
        packed = kept.filter(pc.field("case") == prepared.case.id).to_pylist()
        yield prepared, np.stack([unpack(row) for row in packed], axis=1)
