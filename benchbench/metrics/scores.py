"""Scores of a predicted mask against a reference mask: overlaps from counts of voxels, distances of surfaces.

Counts and distances are what is stored; a score is computed from them when a table is made, so that another rule
for empty masks or another aggregate never needs another inference.

Aggregates have names of their own and never share one:

- `case`: the score of each case (a patient's whole volume), then the mean over cases; the headline.
- `slice`: the score of each slice, then the mean over slices.
- `pooled`: the counts of all cases added up, then one score.

Distances are of whole cases only: they have the aggregate `case`, in mm or in pixels and never both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchbench.images.arrays import BitMasks, Floats, Mask
from benchbench.metrics.distances import measure
from benchbench.metrics.lesions import measure_lesions
from benchbench.metrics.overlaps import METRICS, Counts, count, overlap
from benchbench.spec.metric_names import MetricName, is_lower_better, is_overlap, parse_metrics
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
    """Each metric of two boolean masks of one shape; nan where it is undefined for every model alike.

    Distances are in mm by the spacing along each array axis, or in pixels without one; `penalty` is theirs where
    one mask alone is empty, the length of the grid's diagonal unless given. Lesions have a penalty of their own.

    Raises:
        ValueError: the masks differ in shape or are not boolean, or a metric is not known or has no tolerance.
    """
    wanted = parse_metrics(metrics)
    counts = count(reference, prediction)
    far = {name: metric for name, metric in wanted.items() if not is_overlap(metric.kind)}
    measured = _measure(reference, prediction, far, spacing_mm=spacing_mm, penalty=penalty)
    scores = {}
    for name in wanted:
        is_far = name in measured
        value = (
            distance(name, measured[name], counts, empty=empty) if is_far else overlap(name, counts, empty=empty)
        )
        scores[name] = float(value)
    return scores


def measure_regions(
    bits: BitMasks,
    masks: Mask,
    *,
    metrics: Iterable[str],
    spacing_mm: Sequence[float] | None,
) -> list[dict[str, float]]:
    """The distances, and scores of lesions, of each region of a case, as columns.

    They are called `hd95_mm`, or `hd95_px` where spacing is unknown; `lesion_dice@gli_mm` likewise, for a lesion
    that is too small is so in mm³ or in voxels.

    The reference (S, H, W) has bit k where region k is, the prediction is (S, K, H, W). A case of one slice is
    measured in its plane. Metrics that counts give are left out.
    """
    far = {name: metric for name, metric in parse_metrics(metrics).items() if not is_overlap(metric.kind)}
    unit = "px" if spacing_mm is None else "mm"
    lines = []
    for number in range(masks.shape[1]):
        reference, prediction = bits >> number & 1 == 1, masks[:, number]
        if len(reference) == 1:
            reference, prediction = reference[0], prediction[0]
        spacing = spacing_mm if spacing_mm is None else spacing_mm[-reference.ndim :]
        found = _measure(reference, prediction, far, spacing_mm=spacing)
        lines.append({f"{name}_{unit}": value for name, value in found.items()})
    return lines


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
    found: dict[str, float] = {}
    if surfaces:
        found |= measure(reference, prediction, surfaces, spacing_mm=spacing_mm, penalty=penalty)
    if lesions:
        found |= measure_lesions(reference, prediction, lesions, spacing_mm=spacing_mm)
    return {name: found[name] for name in metrics}


def distance(metric: str, measured: ArrayLike, counts: Counts, *, empty: EmptyPolicy = "score") -> Floats:
    """Distances and scores of lesions as measured, or nan, entry by entry, under the rule for empty masks.

    A structure that is missed or made up is far off under every policy: the grid's diagonal, 0 for nsd and the
    Dice of lesions. Policies differ where the reference is empty:

    score, brats      0 (1 for nsd and the Dice of lesions) if the prediction is empty too.
    zero              0 for all of them.
    nnunet            nan if the prediction is empty too.
    monai, stratify   nan.
    """
    tp, fp, fn, _ = (np.asarray(part, dtype=np.float64) for part in counts)
    value = np.asarray(measured, dtype=np.float64)
    no_reference, are_empty = tp + fn == 0, tp + fp + fn == 0
    if empty in {"monai", "stratify"}:
        return np.where(no_reference, np.nan, value)
    if empty == "nnunet":
        return np.where(are_empty, np.nan, value)
    if empty == "zero" and not is_lower_better(metric):
        return np.where(are_empty, 0.0, value)
    return value
