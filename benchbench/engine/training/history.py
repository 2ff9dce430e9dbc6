"""The history of a training: one row per epoch, with losses and scores of both parts of the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchbench.engine.training.validate import Validation
from benchbench.images.arrays import Floats, Integers
from benchbench.metrics.class_scores import BACKGROUND, class_scores
from benchbench.metrics.scores import METRICS, Counts, overlap
from benchbench.spec.protocol import EmptyPolicy

Row = dict[str, Any]
"""A row of history.csv; None where an epoch was not validated."""


def training_row(counts: Integers, regions: Sequence[str], *, empty: EmptyPolicy) -> Row:
    """Return the scores of an epoch's training samples, for their summed counts (K, 4) or (1 + K, 4)."""
    return _scores("train", "pooled", counts[None], regions, empty=empty)


def validation_row(validation: Validation, regions: Sequence[str], *, empty: EmptyPolicy) -> Row:
    """Return the loss of an inner validation, and its scores of all voxels together and of the cases."""
    pooled = validation.counts.sum(0, keepdims=True)
    return {
        "validation_loss": validation.loss,
        **_scores("validation", "pooled", pooled, regions, empty=empty),
        **_scores("validation", "case", validation.counts, regions, empty=empty),
    }


def unknown_validation_row(classes: int, regions: Sequence[str], *, empty: EmptyPolicy) -> Row:
    """Return the row of an epoch without validation: the same columns, all None."""
    validation = Validation(0.0, np.ones((1, classes, 4), dtype=np.int64))
    return dict.fromkeys(validation_row(validation, regions, empty=empty))


def _scores(part: str, aggregate: str, counts: Integers, regions: Sequence[str], *, empty: EmptyPolicy) -> Row:
    """Return each metric, as the mean over cases and regions, for counts (N, K, 4) or (N, 1 + K, 4).

    A region that is not labelled in a case has no part in the means. With several regions there is also the Dice
    of each. Pooled counts of a softmax, background first, also give the scores of classes.
    """
    region_counts = counts[:, -len(regions) :]
    of_regions = Counts(*np.moveaxis(region_counts, -1, 0))
    is_scored = region_counts.sum(-1) > 0  # a region without label has no counts
    values: dict[str, Floats] = {}
    scores: Row = {}
    for metric in METRICS:
        values[metric] = np.where(is_scored, overlap(metric, of_regions, empty=empty), np.nan)
        scores[f"{part}_{metric}_{aggregate}"] = _mean(values[metric])
    if len(regions) > 1:
        for name, dice in zip(regions, values["dice"].T, strict=True):
            scores[f"{part}_dice_{aggregate}:{name}"] = _mean(dice)
    has_background = counts.shape[1] > len(regions)
    if aggregate == "pooled" and has_background:
        scores |= class_scores(counts.sum(0), (BACKGROUND, *regions), part=part)
    return scores


def _mean(values: Floats) -> float:
    """Return the mean of the defined values; nan where none is."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return math.nan
    return float(defined.mean())
