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

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchbench.distances import measure
from benchbench.metric_names import OVERLAPS, SURFACE_OVERLAPS, is_overlap, parse_metrics
from benchbench.protocol import EmptyPolicy

Floats = NDArray[np.float64]
METRICS = OVERLAPS
"""Those that counts alone give."""


class Counts(NamedTuple):
    """Voxels by reference and prediction: numbers, or arrays of one shape with an entry a case."""

    tp: ArrayLike
    fp: ArrayLike
    fn: ArrayLike
    tn: ArrayLike


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
    one mask alone is empty, the length of the grid's diagonal unless given.

    Raises:
        ValueError: the masks differ in shape or are not boolean, or a metric is not known or has no tolerance.
    """
    wanted = parse_metrics(metrics)
    counts = count(reference, prediction)
    far = {name: metric for name, metric in wanted.items() if not is_overlap(metric.kind)}
    measured = measure(reference, prediction, far, spacing_mm=spacing_mm, penalty=penalty) if far else {}
    scores = {}
    for name in wanted:
        is_far = name in measured
        value = (
            distance(name, measured[name], counts, empty=empty) if is_far else overlap(name, counts, empty=empty)
        )
        scores[name] = float(value)
    return scores


def measure_regions(
    bits: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    *,
    metrics: Iterable[str],
    spacing_mm: Sequence[float] | None,
) -> list[dict[str, float]]:
    """The distances of each region of a case, as columns: `hd95_mm`, or `hd95_px` where spacing is unknown.

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
        found = measure(reference, prediction, far, spacing_mm=spacing) if far else {}
        lines.append({f"{name}_{unit}": value for name, value in found.items()})
    return lines


def count(reference: NDArray[Any], prediction: NDArray[Any]) -> Counts:
    """The voxel counts of two boolean masks of one shape.

    Raises:
        ValueError: the masks differ in shape or are not boolean.
    """
    if reference.shape != prediction.shape:
        raise ValueError(f"reference {reference.shape} and prediction {prediction.shape} differ in shape")
    for name, mask in (("reference", reference), ("prediction", prediction)):
        if mask.dtype != np.bool_:
            raise ValueError(f"{name} is {mask.dtype}, expected bool; compare with the label's value first")
    tp = int(np.count_nonzero(reference & prediction))
    positive, predicted = int(np.count_nonzero(reference)), int(np.count_nonzero(prediction))
    return Counts(tp, predicted - tp, positive - tp, reference.size - positive - predicted + tp)


def overlap(metric: str, counts: Counts, *, empty: EmptyPolicy = "score") -> Floats:
    """A metric of counts, entry by entry, in [0, 1] or nan.

    dice         2 tp / (2 tp + fp + fn)      Dice 1945, doi:10.2307/1932409
    iou          tp / (tp + fp + fn)          Jaccard 1912
    accuracy     (tp + tn) / all
    precision    tp / (tp + fp)
    sensitivity  tp / (tp + fn)
    specificity  tn / (tn + fp)

    What holds where a denominator is 0, or a mask is empty, is the policy's matter:

    score     What the prediction makes undefined has a fixed value: precision of an empty prediction is 0,
              and Dice, IoU and precision of two empty masks are 1. What the reference alone makes undefined
              (sensitivity without positives, specificity without negatives) is nan, for every model alike.
    nnunet    nan wherever the denominator is 0.
    monai     nan for Dice, IoU, precision and sensitivity wherever the reference is empty.
    brats     As `score`; sensitivity of an empty reference is 1 if the prediction is empty too, else 0.
    zero      0 wherever the denominator is 0.
    stratify  nan, for every metric, wherever the reference is empty: means over the other cases only.

    Source: benchmarks of the rules in Maier-Hein et al. 2024, doi:10.1038/s41592-023-02151-z; the behaviour of
    nnU-Net 2 (`compute_metrics`), MONAI (`ignore_empty=True`) and BraTS 2023.
    """
    tp, fp, fn, tn = (np.asarray(part, dtype=np.float64) for part in counts)
    above, below = _fraction(metric, tp, fp, fn, tn)
    defined = below > 0
    value: Floats = np.divide(above, below, out=np.full(np.shape(below), np.nan), where=defined)
    no_reference, no_prediction = tp + fn == 0, tp + fp == 0
    if empty == "zero":
        return np.where(defined, value, 0.0)
    if empty == "stratify":
        return np.where(no_reference, np.nan, value if metric != "precision" else np.where(defined, value, 0.0))
    if empty == "monai" and metric in {"dice", "iou", "precision", "sensitivity"}:
        return np.where(no_reference, np.nan, np.where(defined, value, 0.0))
    if empty in {"score", "brats"} and metric in {"dice", "iou", "precision"}:
        return np.where(defined, value, np.where(no_reference, 1.0, 0.0))
    if empty == "brats" and metric == "sensitivity":
        return np.where(defined, value, np.where(no_prediction, 1.0, 0.0))
    return value


def distance(metric: str, measured: ArrayLike, counts: Counts, *, empty: EmptyPolicy = "score") -> Floats:
    """Distances as measured, or nan, entry by entry, under the rule for empty masks.

    A structure that is missed or made up is far off under every policy: the grid's diagonal, 0 for nsd. Policies
    differ where the reference is empty:

    score, brats      0 (1 for nsd) if the prediction is empty too.
    zero              The same, but 0 for nsd.
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
    if empty == "zero" and metric.startswith(SURFACE_OVERLAPS):
        return np.where(are_empty, 0.0, value)
    return value


def _fraction(metric: str, tp: Floats, fp: Floats, fn: Floats, tn: Floats) -> tuple[Floats, Floats]:
    match metric:
        case "dice":
            return 2 * tp, 2 * tp + fp + fn
        case "iou":
            return tp, tp + fp + fn
        case "accuracy":
            return tp + tn, tp + fp + fn + tn
        case "precision":
            return tp, tp + fp
        case "sensitivity":
            return tp, tp + fn
        case "specificity":
            return tn, tn + fp
    raise AssertionError(f"{metric} is no overlap")
