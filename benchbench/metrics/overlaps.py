"""Overlap of a predicted mask with a reference mask: scores of counts of voxels alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchbench.images.arrays import Floats
from benchbench.spec.metric_names import OVERLAPS
from benchbench.spec.protocol import EmptyPolicy

METRICS = OVERLAPS
"""Those that counts alone give."""


class Counts(NamedTuple):
    """Voxels by reference and prediction: numbers, or arrays of one shape with an entry a case."""

    tp: ArrayLike
    fp: ArrayLike
    fn: ArrayLike
    tn: ArrayLike


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
