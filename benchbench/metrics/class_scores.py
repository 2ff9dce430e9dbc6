"""Scores of a classification of voxels, background being one of the classes.

They are what frameworks report of one-hot labels while they train, and flatter: most voxels are background. They
have names of their own, `..._classes`, and never stand for a metric of regions.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchbench.images.arrays import Integers
from benchbench.metrics.scores import METRICS, Counts, overlap

BACKGROUND = "background"


def class_scores(counts: Integers, classes: Sequence[str], *, part: str) -> dict[str, float]:
    """Each metric of counts (classes, 4): Dice and IoU as the mean over classes, the others of counts added up.

    Accuracy is the share of voxels in their class. A voxel is predicted to be in one class, so precision and
    sensitivity of counts added up are the same number as accuracy.
    """
    dice = overlap("dice", Counts(*counts.T))
    added = Counts(*counts.sum(0))
    scores = {name: float(overlap(name, added)) for name in METRICS}
    scores |= {"dice": float(dice.mean()), "iou": float(overlap("iou", Counts(*counts.T)).mean())}
    scores["accuracy"] = float(counts[:, 0].sum() / counts[0].sum())
    of_classes = {f"{part}_dice_classes:{name}": float(value) for name, value in zip(classes, dice, strict=True)}
    return {**{f"{part}_{name}_classes": value for name, value in scores.items()}, **of_classes}
