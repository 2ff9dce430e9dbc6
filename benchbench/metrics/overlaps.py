"""Overlap scores from voxel counts, under each rule for empty masks.

Written here because every library has one fixed rule for empty masks, and because the scores are computed from
stored counts, long after the masks are gone.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchbench.images.arrays import Floats
from benchbench.spec.metric_names import OVERLAPS
from benchbench.spec.protocol import EmptyPolicy

METRICS = OVERLAPS
"""Metrics that need nothing but counts."""
_POSITIVE = {"dice", "iou", "precision"}
"""Metrics that the prediction can leave undefined."""
_IN_BLOCKS: Final = ("external_loop", "buffered", "zerosize_ok")
_BLOCK = 2**17  # voxels of both masks that stay in the processor's cache


class Counts(NamedTuple):
    """Voxel counts of a reference and a prediction: numbers, or arrays with an entry for each case."""

    tp: ArrayLike
    fp: ArrayLike
    fn: ArrayLike
    tn: ArrayLike


def check_masks(reference: NDArray[Any], prediction: NDArray[Any]) -> None:
    """Raise ValueError if two masks differ in shape or are not boolean."""
    if reference.shape != prediction.shape:
        raise ValueError(f"reference {reference.shape} and prediction {prediction.shape} differ in shape")
    for name, mask in (("reference", reference), ("prediction", prediction)):
        if mask.dtype != np.bool_:
            raise ValueError(f"{name} is {mask.dtype}, expected bool; compare with the label's value first")


def count(reference: NDArray[Any], prediction: NDArray[Any]) -> Counts:
    """Count the voxels of two boolean masks of one shape.

    Raises:
        ValueError: the masks differ in shape or are not boolean.
    """
    check_masks(reference, prediction)
    tp = in_reference = in_prediction = 0
    for one, other in np.nditer([reference, prediction], flags=_IN_BLOCKS, buffersize=_BLOCK):
        in_one, in_other = int(np.count_nonzero(one)), int(np.count_nonzero(other))
        in_reference += in_one
        in_prediction += in_other
        if in_one and in_other:
            tp += int(np.count_nonzero(one & other))
    return Counts(tp, in_prediction - tp, in_reference - tp, reference.size - in_reference - in_prediction + tp)


def overlap(metric: str, counts: Counts, *, empty: EmptyPolicy = "score") -> Floats:
    """Return a metric of counts, entry by entry, in [0, 1] or nan.

    dice         2 tp / (2 tp + fp + fn)      Dice 1945, doi:10.2307/1932409
    iou          tp / (tp + fp + fn)          Jaccard 1912
    accuracy     (tp + tn) / all
    precision    tp / (tp + fp)
    sensitivity  tp / (tp + fn)
    specificity  tn / (tn + fp)

    The policy decides the score if a denominator is 0 or a mask is empty:

    score     A score that the prediction leaves undefined has a fixed value: the precision of an empty prediction
              is 0, and Dice, IoU and precision of two empty masks are 1. A score that the reference alone leaves
              undefined (sensitivity without positives, specificity without negatives) is nan, for every model.
    nnunet    nan wherever the denominator is 0.
    monai     nan for Dice, IoU, precision and sensitivity wherever the reference is empty.
    brats     As `score`; the sensitivity of an empty reference is 1 if the prediction is empty too, else 0.
    zero      0 wherever the denominator is 0.
    stratify  nan, for every metric, wherever the reference is empty: means are over the other cases only.

    Source: the rules compared in Maier-Hein et al. 2024, doi:10.1038/s41592-023-02151-z; the behaviour of nnU-Net
    2 (`compute_metrics`), MONAI (`ignore_empty=True`) and BraTS 2023.
    """
    tp, fp, fn, tn = (np.asarray(part, dtype=np.float64) for part in counts)
    numerator, denominator = _fraction(metric, tp, fp, fn, tn)
    is_defined = denominator > 0
    value = np.full(np.shape(denominator), np.nan)
    value = np.divide(numerator, denominator, out=value, where=is_defined)
    no_reference = tp + fn == 0
    no_prediction = tp + fp == 0
    undefined = _undefined_value(metric, empty, no_reference=no_reference, no_prediction=no_prediction)
    value = np.where(is_defined, value, undefined)
    needs_reference = metric in _POSITIVE or metric == "sensitivity"
    if empty == "stratify" or (empty == "monai" and needs_reference):
        value = np.where(no_reference, np.nan, value)
    return value


def _undefined_value(
    metric: str, empty: EmptyPolicy, *, no_reference: NDArray[Any], no_prediction: NDArray[Any]
) -> float | Floats:
    """Return the value of a score whose denominator is 0."""
    match empty:
        case "zero":
            return 0.0
        case "monai" | "stratify" if metric in _POSITIVE:
            return 0.0
        case "score" | "brats" if metric in _POSITIVE:
            return np.where(no_reference, 1.0, 0.0)
        case "brats" if metric == "sensitivity":
            return np.where(no_prediction, 1.0, 0.0)
    return np.nan


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
