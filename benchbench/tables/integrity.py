"""Checks of the tables that a run recorded against each other, for a change that corrected the digests as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from benchbench.errors import IntegrityError
from benchbench.images.arrays import Mask
from benchbench.metrics.scores import Counts
from benchbench.plan.run import KEYS, RunKey

if TYPE_CHECKING:
    import pyarrow as pa

COUNTS = list(Counts._fields)
_PLACE = ["case", "region"]
_REMEDY = "delete the folder of the run to run it again"


def check_counts(path: Path, table: pa.Table, key: RunKey) -> None:
    """Refuse a table without counts, with counts that no image can have, or of another run.

    Raises:
        IntegrityError: the table contradicts what benchbench writes.
    """
    missing = [name for name in (*KEYS, *_PLACE, "patient", *COUNTS) if name not in table.column_names]
    if missing:
        raise IntegrityError(f"{path}: no column {', '.join(missing)}; {_REMEDY}")
    for name, value in key._asdict().items():
        if not set(table[name].unique().to_pylist()) <= {value}:
            raise IntegrityError(f"{path}: {name} is not {value!r} in every row; {_REMEDY}")
    if not all(_has_counts(table[name]) for name in COUNTS):
        raise IntegrityError(f"{path}: {', '.join(COUNTS)} are not counts of voxels; {_REMEDY}")


def _has_counts(column: pa.ChunkedArray) -> bool:
    """Return True if all values are integers that are not negative."""
    if not str(column.type).startswith(("int", "uint")):
        return False
    return not (column.to_numpy() < 0).any()


def check_masks(path: Path, masks: Mapping[tuple[str, str], Mask], slices: pd.DataFrame) -> None:
    """Refuse predicted masks that do not have the voxels of which slices.parquet has the counts.

    `masks` has the mask (S, H, W) of each case and region. Ignored voxels are in no count: a mask may have them or
    not. A region that is not labelled in a case has a mask and no counts.

    Raises:
        IntegrityError: a mask has more or fewer voxels in a slice than were counted.
    """
    by_place = slices.sort_values("slice").groupby(_PLACE)
    cases = set(slices["case"])
    for place, mask in masks.items():
        if place not in by_place.groups and place[0] in cases:
            continue
        counts = by_place.get_group(place) if place in by_place.groups else slices.iloc[:0]
        predicted = mask.sum(axis=(1, 2))
        least = (counts["tp"] + counts["fp"]).to_numpy()
        ignored = mask[0].size - counts[COUNTS].sum(axis=1).to_numpy()
        if len(predicted) == len(least) and (least <= predicted).all() and (predicted <= least + ignored).all():
            continue
        case, region = place
        raise IntegrityError(f"{path}: case {case}, region {region}: differs from slices.parquet; {_REMEDY}")


def check_sums(path: Path, cases: pa.Table, slices: pa.Table) -> None:
    """Refuse cases whose counts are not the sums of the counts of their slices.

    Raises:
        IntegrityError: a case and its slices differ.
    """
    # by pyarrow: pandas takes twenty times as long for the few rows of a run, and a benchmark has many runs
    totals = slices.group_by(_PLACE).aggregate([(name, "sum") for name in COUNTS])
    sums = _by_place(totals, [f"{name}_sum" for name in COUNTS])
    by_case = _by_place(cases, COUNTS)
    if len(by_case) == cases.num_rows and by_case == sums:
        return
    place = "the list of cases"
    for case, region in sorted(by_case):
        if by_case[case, region] != sums.get((case, region)):
            place = f"case {case}, region {region}"
            break
    raise IntegrityError(f"{path}: {place}: differs from the sum of slices.parquet; {_REMEDY}")


def _by_place(table: pa.Table, names: Sequence[str]) -> dict[tuple[str, str], tuple[int, ...]]:
    """Return the values of these columns by case and region."""
    places = zip(*(table[name].to_pylist() for name in _PLACE), strict=True)
    values = zip(*(table[name].to_pylist() for name in names), strict=True)
    return dict(zip(places, values, strict=True))
