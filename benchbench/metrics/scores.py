"""Scores of a predicted mask against a reference mask: overlaps of voxel counts, and distances of surfaces.

Only counts and distances are stored; scores are computed from them when a table is made, so that another rule for
empty masks or another aggregate needs no new inference.

Every aggregate has a name of its own:

- `case`: the score of each case (a patient's whole volume), then the mean over cases; the headline.
- `slice`: the score of each slice, then the mean over slices.
- `pooled`: one score of the counts of all cases added up.

Distances exist for whole cases only: their aggregate is `case`, in mm or in pixels, never mixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchbench.contract import MetricPlugin
from benchbench.images.arrays import BitMasks, Floats, Mask, scored_mask
from benchbench.metrics.distances import measure
from benchbench.metrics.lesions import measure_lesions
from benchbench.metrics.overlaps import METRICS, Counts, count, overlap
from benchbench.metrics.plugin_metrics import measure_plugins
from benchbench.registry.extensions import extension
from benchbench.spec.metric_names import MetricName, declared_facts, is_lower_better, is_overlap, parse_metrics
from benchbench.spec.protocol import EmptyPolicy

__all__ = ["METRICS", "Counts", "count", "distance", "measure_regions", "overlap", "score"]


def score(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    *,
    metrics: Iterable[str],
    spacing_mm: Sequence[float] | None = None,
    empty: EmptyPolicy = "score",
    penalty: float | None = None,
) -> dict[str, float]:
    """Return each metric of two boolean masks of one shape; nan if it is undefined for every model.

    Distances are in mm by the spacing along each array axis, or in pixels without one. If only one mask is empty,
    they are `penalty`, or without one the length of the grid's diagonal. Lesion scores have their own penalty.

    Raises:
        ValueError: the masks differ in shape or are not boolean, or a metric is unknown or has no tolerance.
    """
    parsed = parse_metrics(metrics)
    counts = count(reference, prediction)
    distances = _without_overlaps(parsed)
    measured = _measure(reference, prediction, distances, spacing_mm=spacing_mm, penalty=penalty)
    scores: dict[str, float] = {}
    for name in parsed:
        if name in measured:
            scores[name] = float(distance(name, measured[name], counts, empty=empty))
        else:
            scores[name] = float(overlap(name, counts, empty=empty))
    return scores


def measure_regions(
    bits: BitMasks,
    masks: Mask,
    *,
    metrics: Iterable[str],
    spacing_mm: Sequence[float] | None,
) -> list[dict[str, float]]:
    """Return the distances and lesion scores of each region of a case as columns; overlaps are left out.

    Columns are called `hd95_mm`, or `hd95_px` if the spacing is unknown. `lesion_dice@gli_mm` has a unit as well,
    because the smallest volume of a lesion is in mm³ or in voxels. A metric of a plugin has one if it is a length.

    The reference (S, H, W) has bit k set where region k is; the prediction is (S, K, H, W). A case of one slice is
    measured in its plane. Ignored voxels are taken out of both masks before surfaces and lesions are found.
    """
    parsed = _without_overlaps(parse_metrics(metrics))
    if not parsed:
        return [{} for _ in range(masks.shape[1])]
    of_plugins = declared_facts(parsed)
    plugins = [extension(MetricPlugin, name) for name in of_plugins]
    distances = {name: metric for name, metric in parsed.items() if name not in of_plugins}
    unit = "px" if spacing_mm is None else "mm"
    scored = scored_mask(bits, regions=masks.shape[1])
    rows: list[dict[str, float]] = []
    for number in range(masks.shape[1]):
        reference, prediction = _in_plane(bits >> number & 1 == 1), _in_plane(masks[:, number] & scored)
        spacing = None if spacing_mm is None else spacing_mm[-reference.ndim :]
        measured = _measure(reference, prediction, distances, spacing_mm=spacing)
        rows.append(
            _with_unit(measured, unit) | measure_plugins(plugins, reference, prediction, spacing_mm=spacing)
        )
    return rows


def _in_plane(mask: Mask) -> Mask:
    """Return a mask (S, H, W) as (H, W) if it has one slice."""
    return mask[0] if len(mask) == 1 else mask


def _with_unit(measured: Mapping[str, float], unit: str) -> dict[str, float]:
    return {f"{name}_{unit}": value for name, value in measured.items()}


def distance(metric: str, measured: ArrayLike, counts: Counts, *, empty: EmptyPolicy = "score") -> Floats:
    """Return measured distances and lesion scores, or nan, entry by entry, under the rule for empty masks.

    If only the prediction, or only the reference, has a structure, every policy keeps the penalty: the diagonal of
    the grid, or 0 for nsd and lesion Dice. Policies differ if the reference is empty:

    score, brats      0 (1 for nsd and lesion Dice) if the prediction is empty too.
    zero              0 for all metrics if the prediction is empty too.
    nnunet            nan if the prediction is empty too.
    monai, stratify   nan.
    """
    tp, fp, fn, _ = (np.asarray(part, dtype=np.float64) for part in counts)
    value = np.asarray(measured, dtype=np.float64)
    no_reference, both_empty = tp + fn == 0, tp + fp + fn == 0
    if empty in {"monai", "stratify"}:
        return np.where(no_reference, np.nan, value)
    if empty == "nnunet":
        return np.where(both_empty, np.nan, value)
    if empty == "zero" and not is_lower_better(metric):
        return np.where(both_empty, 0.0, value)
    return value


def _without_overlaps(metrics: Mapping[str, MetricName]) -> dict[str, MetricName]:
    return {name: metric for name, metric in metrics.items() if not is_overlap(metric.kind)}


def _measure(
    reference: Mask,
    prediction: Mask,
    metrics: Mapping[str, MetricName],
    *,
    spacing_mm: Sequence[float] | None,
    penalty: float | None = None,
) -> dict[str, float]:
    lesions = {name: metric for name, metric in metrics.items() if metric.challenge is not None}
    surfaces = {name: metric for name, metric in metrics.items() if metric.challenge is None}
    measured: dict[str, float] = {}
    if surfaces:
        measured |= measure(reference, prediction, surfaces, spacing_mm=spacing_mm, penalty=penalty)
    if lesions:
        measured |= measure_lesions(reference, prediction, lesions, spacing_mm=spacing_mm)
    return {name: measured[name] for name in metrics}
