"""Scores of label maps in memory or in files, with the rules and values of `benchbench score`."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from benchbench.errors import DataError, UsageError
from benchbench.images.input_files import FileFault
from benchbench.images.label_maps import LabelMap
from benchbench.images.label_values import as_labels
from benchbench.scoring import Scores, Scoring, score_pairs, score_paths
from benchbench.scoring.case import Source
from benchbench.scoring.rules import Missing
from benchbench.spec.metric_names import Challenge
from benchbench.spec.protocol import EmptyPolicy

LabelArray = NDArray[Any]
"""(*space) with two or three axes: whole numbers, or a boolean mask."""
Labels = LabelArray | str | Path
"""A label map in memory, or its file."""

METRICS = ("dice", "iou", "precision", "sensitivity", "hd95")
_ONE_CASE = "case"
_MASK_REGION = "mask"


def score(
    reference: Labels | Mapping[str, Labels],
    prediction: Labels | Mapping[str, Labels],
    *,
    regions: Mapping[str, int | Collection[int]] | None = None,
    metrics: Sequence[str] = METRICS,
    spacing_mm: Sequence[float] | None = None,
    ignore: Collection[int] = (),
    background: Collection[int] = (),
    empty: EmptyPolicy = "score",
    missing: Missing = "refuse",
    lesions: Challenge | None = None,
    threads: int | None = None,
) -> Scores:
    """Score predictions against references and return the tables `cases` and `summary`.

    Both are arrays, files, folders whose files are paired by name, or mappings from the name of a case to an array
    or file. `regions` maps a name to its label values; boolean masks need none and are the region "mask".
    `spacing_mm` is the voxel size of arrays along each axis; without it, distances are in pixels. Files have their
    own. `ignore` has the values of the reference whose voxels are left out of every score.

    Raises:
        UsageError: a metric, region or voxel size is invalid.
        DataError: with every problem of every case.
    """
    scoring = Scoring(
        regions=_regions(regions, reference, prediction),
        metrics=tuple(metrics),
        empty=empty,
        missing=missing,
        background=frozenset({0, *background}),
        ignore=frozenset(ignore),
        lesions=lesions,
    )
    if _is_path(reference) and _is_path(prediction):
        if spacing_mm is not None:
            raise UsageError("spacing_mm: found files, which have their own voxel size; leave spacing_mm out")
        return score_paths(Path(reference), Path(prediction), scoring, threads=threads)
    references = _sources(reference, spacing_mm, "reference")
    predictions = _sources(prediction, spacing_mm, "prediction")
    return score_pairs(references, predictions, scoring, threads=threads)


def _regions(
    regions: Mapping[str, int | Collection[int]] | None, *inputs: Labels | Mapping[str, Labels]
) -> dict[str, tuple[int, ...]]:
    """Return the label values of each region; those of boolean masks if there are no regions.

    Raises:
        UsageError: there are none and an input has label values, or one has the background.
    """
    if regions is None:
        if all(map(_is_boolean, inputs)):
            return {_MASK_REGION: (1,)}
        raise UsageError("regions: none given; assign label values to names, like {'tumour': 1}")
    values_of: dict[str, tuple[int, ...]] = {}
    for name, values in regions.items():
        values_of[name] = _label_values(name, values)
        if 0 in values_of[name]:
            raise UsageError(
                f"regions: found label 0 in '{name}', which is background; give the other labels only"
            )
    if not values_of:
        raise UsageError("regions: found none; assign label values to names, like {'tumour': 1}")
    return values_of


def _label_values(name: str, values: Any) -> tuple[int, ...]:
    """Return the label values of a region.

    Raises:
        UsageError: one of them is no whole number.
    """
    several = values if isinstance(values, Collection) and not isinstance(values, str) else [values]
    if not all(isinstance(value, Integral) and not isinstance(value, bool) for value in several):
        raise UsageError(f"regions: found {values!r} in '{name}', expected a label value or several, like [1, 4]")
    return tuple(map(int, several))


def _is_boolean(labels: Labels | Mapping[str, Labels]) -> bool:
    if isinstance(labels, Mapping):
        return all(map(_is_boolean, labels.values()))
    return not _is_path(labels) and np.asarray(labels).dtype == np.bool_


def _is_path(labels: Labels | Mapping[str, Labels]) -> TypeGuard[str | Path]:
    return isinstance(labels, (str, Path))


def _sources(
    labels: Labels | Mapping[str, Labels], spacing_mm: Sequence[float] | None, part: str
) -> dict[str, Source]:
    """Return the label map or file of each case.

    Raises:
        DataError: an array is no label map.
        UsageError: the voxel size does not fit its axes.
    """
    by_case = labels if isinstance(labels, Mapping) else {_ONE_CASE: labels}
    sources: dict[str, Source] = {}
    for case, source in by_case.items():
        sources[case] = Path(source) if _is_path(source) else _label_map(f"{case}: {part}", source, spacing_mm)
    return sources


def _label_map(where: str, labels: Any, spacing_mm: Sequence[float] | None) -> LabelMap:
    voxels = np.asarray(labels)
    if voxels.ndim not in {2, 3}:
        raise DataError(
            f"{where}: found shape {voxels.shape}, expected two or three axes; give one label map per case"
        )
    if voxels.dtype == np.bool_:
        voxels = voxels.view(np.uint8)
    try:
        voxels = as_labels(voxels)
    except FileFault as fault:
        raise DataError(f"{where}: {fault}") from None
    if spacing_mm is None:
        return LabelMap(voxels, None, None)
    sizes = tuple(map(float, spacing_mm))
    if len(sizes) != voxels.ndim or not all(0 < size < math.inf for size in sizes):
        raise UsageError(
            f"spacing_mm: found {sizes}, expected {voxels.ndim} sizes above 0, one for each axis of {where}"
        )
    return LabelMap(voxels, None, sizes)
