"""Scores of a classification of voxels in which the background is one of the classes.

Frameworks report such scores of one-hot labels during training. They are high, because most voxels are background,
so that they have names of their own, `..._classes`, and never replace a metric of regions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchbench.images.arrays import Integers
from benchbench.metrics.scores import METRICS, Counts, overlap

BACKGROUND = "background"


def class_scores(counts: Integers, classes: Sequence[str], *, part: str) -> dict[str, float]:
    """Return the scores of counts (classes, 4), named `<part>_<metric>_classes`.

    Dice and IoU are means over the classes, and Dice is also given for each class, as `..._classes:<class>`. The
    other metrics are computed from the counts of all classes added up. Accuracy is the fraction of voxels in their
    class. Every voxel is predicted to be in one class, so that precision and sensitivity equal accuracy. A class
    without counts has a Dice of nan and no part in the means.
    """
    by_class = Counts(*counts.T)
    added = Counts(*counts.sum(0))
    is_counted = counts.sum(1) > 0  # a class that is labelled in no case has no counts
    dice = np.where(is_counted, overlap("dice", by_class), np.nan)
    values = {name: float(overlap(name, added)) for name in METRICS}
    values["dice"] = float(dice[is_counted].mean())
    values["iou"] = float(overlap("iou", by_class)[is_counted].mean())
    values["accuracy"] = float(counts[:, 0].sum() / counts[0].sum())
    scores = {f"{part}_{name}_classes": value for name, value in values.items()}
    for name, value in zip(classes, dice, strict=True):
        scores[f"{part}_dice_classes:{name}"] = float(value)
    return scores
