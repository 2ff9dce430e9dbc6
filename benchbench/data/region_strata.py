"""Groups of patients by the presence or the size of a region, over which folds are spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchbench.contract import Case, CaseRef, Dataset
from benchbench.data.case_checks import load_case
from benchbench.errors import DataError
from benchbench.spec.document import nearest

_PRESENCE, _SIZE = "presence", "size"
_SIZES = ("small", "medium", "large")


def metadata_for_strata(
    dataset: Dataset, cases: Sequence[CaseRef], column: str | None
) -> Mapping[str, Mapping[str, str]]:
    """Return the metadata of a dataset, or for "presence:REGION" and "size:REGION" the groups of its patients.

    Presence is yes or no. Size is none, or a third of the patients that have the region: small, medium or large,
    by the largest volume of their cases, in mm³ where voxel sizes are known. A patient without label of the region
    is a group of its own. All labels are read.

    Raises:
        DataError: the task has no such region, or a case cannot be read.
    """
    if column is None:
        return {}
    kind, _, region = column.partition(":")
    if kind not in {_PRESENCE, _SIZE} or not region:
        return dataset.metadata()
    regions = dataset.task.regions
    if region not in regions:
        hint = nearest(region, list(regions))
        raise DataError(f"protocol.stratify: no region '{region}' in the dataset; {hint}")
    groups = _size_groups(_sizes(dataset, cases, region))
    if kind == _PRESENCE:
        groups = {patient: "no" if group == "none" else "yes" for patient, group in groups.items()}
    return {patient: {column: group} for patient, group in groups.items()}


def _sizes(dataset: Dataset, cases: Sequence[CaseRef], region: str) -> dict[str, float]:
    """Return patient -> the largest volume of the region in a case that has a label of it."""
    values = dataset.task.regions[region]
    sizes: dict[str, float] = {}
    for ref in cases:
        case = load_case(dataset, ref.id)
        if case.labelled_regions is None or region in case.labelled_regions:
            sizes[ref.patient] = max(_volume(case, values), sizes.get(ref.patient, 0.0))
    return sizes


def _volume(case: Case, values: Sequence[int]) -> float:
    voxels = int(np.isin(case.label, values).sum())
    return voxels * float(np.prod(case.spacing_mm or 1.0))


def _size_groups(sizes: Mapping[str, float]) -> dict[str, str]:
    """Return patient -> none, small, medium or large; equal sizes are in the order of the patients' names."""
    present = sorted((size, patient) for patient, size in sizes.items() if size > 0)
    groups = dict.fromkeys(sizes, "none")
    for position, (_, patient) in enumerate(present):
        groups[patient] = _SIZES[position * len(_SIZES) // len(present)]
    return groups
