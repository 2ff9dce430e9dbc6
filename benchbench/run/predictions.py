"""Saves predicted masks, and measures further distances on them later.

A benchmark file that asks for another metric needs neither training nor inference again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchbench.engine.inference.export import label_nifti
from benchbench.engine.inference.predict import count_case
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.errors import IntegrityError
from benchbench.images.arrays import Mask
from benchbench.metrics.masks import pack, unpack
from benchbench.metrics.scores import Counts, measure_regions
from benchbench.records.provenance import code_state, versions
from benchbench.records.record import Record
from benchbench.records.table_columns import read_checked
from benchbench.run.assignment import Assignment
from benchbench.spec.file_names import slug

Row = dict[str, Any]
"""A row of a table: column -> value."""
Distances = list[dict[str, float]]
"""For each region, column -> distance; the name of a column ends with its unit."""


def measure_distances(prepared: PreparedCase, masks: Mask, metrics: Sequence[str]) -> Distances:
    """Return the distances between the masks (S, K, H, W) of a case and its reference."""
    return measure_regions(prepared.native_label(), masks, metrics=metrics, spacing_mm=prepared.spacing_mm)


def pack_case(prepared: PreparedCase, regions: Sequence[str], masks: Mask) -> list[Row]:
    """Return a row for each region of a case with its compressed mask; masks (S, K, H, W)."""
    rows = []
    for region, mask in zip(regions, np.moveaxis(masks, 1, 0), strict=True):
        rows.append({"case": prepared.case.id, "region": region, **pack(mask)})
    return rows


def add_missing_distances(assignment: Assignment, record: Record) -> Record:
    """Measure the distances that the protocol asks for and the table of cases lacks; return the new record.

    Raises:
        IntegrityError: a table of the run was changed since it was written.
    """
    missing = assignment.missing_distances()
    if not missing:
        return record
    folder = assignment.folder
    rows: list[Row] = folder.read_table("cases.parquet", record).to_pylist()
    measured = _measure_saved_masks(assignment, record, missing)
    for row in rows:
        row.update(measured[row["case"], row["region"]])
    origin = {"metrics": missing, "code": code_state(), "versions": versions()}
    provenance = {**record.provenance, "measured": origin}
    record = replace(record, provenance=provenance)
    return folder.replace_table("cases.parquet", table_of_rows(rows), record)


def _measure_saved_masks(
    assignment: Assignment, record: Record, metrics: Sequence[str]
) -> dict[tuple[str, str], dict[str, float]]:
    """Return (case, region) -> distances."""
    measured: dict[tuple[str, str], dict[str, float]] = {}
    for prepared, masks in _saved_masks(assignment, record):
        distances = measure_distances(prepared, masks, metrics)
        for region, values in zip(assignment.regions, distances, strict=True):
            measured[prepared.case.id, region] = values
    return measured


def export_masks(assignment: Assignment, record: Record) -> None:
    """Write the predictions of all test cases as predictions/<case>.nii.gz, if the assignment asks for it.

    Raises:
        IntegrityError: the table of masks was changed since it was written.
    """
    if not assignment.lacks_exports():
        return
    if "predictions.parquet" not in record.files:  # a failed run has none
        return
    for prepared, masks in _saved_masks(assignment, record):
        content = label_nifti(prepared, masks, assignment.label_values)
        assignment.folder.write(f"predictions/{slug(prepared.case.id)}.nii.gz", content)


def table_of_rows(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return a table with the columns of all rows, null if a row lacks one: distances are in mm or in pixels."""
    columns: dict[str, None] = {}
    for row in rows:
        columns.update(dict.fromkeys(row))
    names = list(columns)
    return pa.Table.from_pylist([_complete(row, names) for row in rows])


def _complete(row: Mapping[str, Any], columns: Sequence[str]) -> Row:
    return {name: row.get(name) for name in columns}


def _saved_masks(assignment: Assignment, record: Record) -> Iterator[tuple[PreparedCase, Mask]]:
    """Yield each test case with its masks (S, K, H, W), whose voxels are counted again.

    Raises:
        IntegrityError: a table was changed since it was written, or the masks do not have the recorded counts.
    """
    folder = assignment.folder
    table = read_checked(folder, "predictions.parquet", record)
    slices = read_checked(folder, "slices.parquet", record)
    for prepared in assignment.test:
        is_of_case = pc.field("case") == prepared.case.id
        recorded = slices.filter(is_of_case).select(Counts._fields).to_pandas().to_numpy()
        problem = "differs from slices.parquet"
        try:
            masks = np.stack([unpack(row) for row in table.filter(is_of_case).to_pylist()], axis=1)
            counts = count_case(prepared, masks)  # (S, K, 4), in the order of the rows
            counts = counts[:, prepared.labelled(counts.shape[1])]
            is_equal = np.array_equal(counts.reshape(-1, len(Counts._fields)), recorded)
        except (ValueError, RuntimeError) as error:  # of numpy and torch, for masks of another shape
            is_equal, problem = False, str(error)
        if not is_equal:
            path = folder.path / "predictions.parquet"
            raise IntegrityError(f"{path}: case {prepared.case.id}: {problem}; delete the folder to run again")
        yield prepared, masks
