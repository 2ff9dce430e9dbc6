"""Checks of the tables that a run recorded against each other, for a change that corrected the digests as well."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from benchbench.errors import IntegrityError
from benchbench.images.arrays import Mask
from benchbench.metrics.scores import Counts
from benchbench.plan.run import KEYS, RunKey

COUNTS = list(Counts._fields)
_PLACE = ["case", "region"]
_REMEDY = "delete the folder of the run to run it again"


def check_counts(path: Path, table: pd.DataFrame, key: RunKey) -> None:
    """Refuse a table without counts, with counts that no image can have, or of another run.

    Raises:
        IntegrityError: the table contradicts what benchbench writes.
    """
    missing = [name for name in (*KEYS, *_PLACE, "patient", *COUNTS) if name not in table]
    if missing:
        raise IntegrityError(f"{path}: no column {', '.join(missing)}; {_REMEDY}")
    for name, value in key._asdict().items():
        if not (table[name] == value).all():
            raise IntegrityError(f"{path}: {name} is not {value!r} in every row; {_REMEDY}")
    counts = table[COUNTS]
    are_integers = all(np.issubdtype(dtype, np.integer) for dtype in counts.dtypes)
    if not are_integers or (counts < 0).to_numpy().any():
        raise IntegrityError(f"{path}: {', '.join(COUNTS)} are not counts of voxels; {_REMEDY}")


def check_masks(path: Path, masks: Mapping[tuple[str, str], Mask], slices: pd.DataFrame) -> None:
    """Refuse predicted masks that do not have the voxels of which slices.parquet has the counts.

    `masks` has the mask (S, H, W) of each case and region. Ignored voxels are in no count: a mask may have them or
    not.

    Raises:
        IntegrityError: a mask has more or fewer voxels in a slice than were counted.
    """
    by_place = slices.sort_values("slice").groupby(_PLACE)
    for place, mask in masks.items():
        counts = by_place.get_group(place) if place in by_place.groups else slices.iloc[:0]
        predicted = mask.sum(axis=(1, 2))
        least = (counts["tp"] + counts["fp"]).to_numpy()
        ignored = mask[0].size - counts[COUNTS].sum(axis=1).to_numpy()
        if len(predicted) == len(least) and (least <= predicted).all() and (predicted <= least + ignored).all():
            continue
        case, region = place
        raise IntegrityError(f"{path}: case {case}, region {region}: differs from slices.parquet; {_REMEDY}")


def check_sums(path: Path, cases: pd.DataFrame, slices: pd.DataFrame) -> None:
    """Refuse cases whose counts are not the sums of the counts of their slices.

    Raises:
        IntegrityError: a case and its slices differ.
    """
    by_case = cases.set_index(_PLACE)[COUNTS].sort_index()
    sums = slices.groupby(_PLACE)[COUNTS].sum().sort_index()
    if by_case.index.equals(sums.index) and (by_case.to_numpy() == sums.to_numpy()).all():
        return
    differing = by_case.index[(by_case != sums.reindex(by_case.index)).any(axis=1)]
    place = "the list of cases"
    if len(differing):
        place = "case {}, region {}".format(*differing[0])
    raise IntegrityError(f"{path}: {place}: differs from the sum of slices.parquet; {_REMEDY}")
