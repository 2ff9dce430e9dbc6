"""Tables of voxel counts and distances: a row per case, or slice, and region."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa

from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import Integers
from benchbench.run.assignment import Assignment
from benchbench.run.predictions import Distances, Row, table_of_rows

_COUNTS = ("tp", "fp", "fn", "tn")
Pair = tuple[str, str]
"""Rater and reader: the prediction or another reader, and the reader whose label it is scored against."""


def case_table(
    assignment: Assignment, counts: Mapping[PreparedCase, Integers], distances: Mapping[PreparedCase, Distances]
) -> pa.Table:
    """Return counts (S, K, 4), summed over slices, and distances of every case and labelled region."""
    rows: list[Row] = []
    for prepared, stack in counts.items():
        totals = stack.sum(0)  # (K, 4)
        is_labelled = prepared.labelled(len(assignment.regions))
        for number in np.flatnonzero(is_labelled).tolist():
            place = {**_name_case(assignment, prepared), "region": assignment.regions[number]}
            rows.append({**place, **_name_counts(totals[number]), **distances[prepared][number]})
    return table_of_rows(rows)


def slice_table(assignment: Assignment, counts: Mapping[PreparedCase, Integers]) -> pa.Table:
    """Return counts (S, K, 4) of every case, slice and region that is labelled in the case."""
    rows: list[Row] = []
    for prepared, stack in counts.items():
        is_labelled = prepared.labelled(len(assignment.regions))
        regions = list(compress(assignment.regions, is_labelled))
        for number, totals in enumerate(stack[:, is_labelled]):
            place = {**_name_case(assignment, prepared), "slice": number}
            for region, values in zip(regions, totals, strict=True):
                rows.append({**place, "region": region, **_name_counts(values)})
    return table_of_rows(rows)


def reader_table(assignment: Assignment, counts: Mapping[PreparedCase, Mapping[Pair, Integers]]) -> pa.Table:
    """Return counts (S, K, 4), summed over slices, of every case, pair of raters and labelled region."""
    rows: list[Row] = []
    for prepared, by_pair in counts.items():
        is_labelled = prepared.labelled(len(assignment.regions))
        for (rater, reader), stack in by_pair.items():
            place = {**_name_case(assignment, prepared), "rater": rater, "reader": reader}
            for number in np.flatnonzero(is_labelled).tolist():
                totals = stack.sum(0)[number]
                rows.append({**place, "region": assignment.regions[number], **_name_counts(totals)})
    return table_of_rows(rows)


def _name_case(assignment: Assignment, prepared: PreparedCase) -> dict[str, Any]:
    return {**assignment.key._asdict(), "case": prepared.case.id, "patient": prepared.case.patient}


def _name_counts(values: Integers) -> dict[str, int]:
    return dict(zip(_COUNTS, values.tolist(), strict=True))
