"""Scores lesion by lesion, as the BraTS challenges of 2023 do.

Source: Saluja et al., the official evaluation of BraTS 2023 (`rachitsaluja/BraTS-2023-Metrics`).

What the rules imply, and is kept:

- The least volume drops lesions of the reference only; a prediction of one voxel that touches none counts fully.
- A predicted component that bridges two lesions is scored against both.
- A component that touches only the zone around a lesion makes it found, with Dice 0 and a finite distance.
- A dropped lesion still absorbs the components that touch it: they are not false positives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from benchbench.images.arrays import Floats, Mask, bounding_box
from benchbench.metrics.distances import measure
from benchbench.metrics.overlaps import count, overlap
from benchbench.spec.metric_names import Challenge, MetricName, parse_metrics

PENALTY_MM = 374.0
_HD95 = parse_metrics(["hd95_surfel"])
_NEIGHBOURS = np.ones((3, 3, 3), dtype=np.bool_)


class Rules(NamedTuple):
    """What the challenges set differently."""

    dilation: int
    """Lesions whose zones of so many voxels meet are one."""
    volume_mm3: float
    """Lesions of the reference up to this size are not scored."""
    has_false_positives: bool = True
    """Whether a component that touches no lesion counts as a lesion of Dice 0."""


RULES: dict[Challenge, Rules] = {
    "gli": Rules(3, 50),
    "ssa": Rules(3, 50),
    "ped": Rules(3, 50),
    "men": Rules(1, 50),
    "men-rt": Rules(1, 50, has_false_positives=False),
    "met": Rules(1, 2),
}


class LesionScores(NamedTuple):
    """The means over the lesions of one region of one case, and of how many."""

    dice: float
    hd95_mm: float
    found: int
    missed: int
    made_up: int
    """Predicted components that touch no lesion."""


class _Lesion(NamedTuple):
    volume_mm3: float
    is_found: bool
    dice: float
    hd95_mm: float


def measure_lesions(
    reference: Mask, prediction: Mask, metrics: Mapping[str, MetricName], *, spacing_mm: Sequence[float] | None
) -> dict[str, float]:
    """Each of these scores of a region, by the name it was asked for.

    An image is a volume of one slice. Without spacing a voxel measures 1 along each axis, as the official
    evaluation takes it to do everywhere.
    """
    spacing = (1.0, 1.0, 1.0)[: reference.ndim] if spacing_mm is None else tuple(spacing_mm)
    if reference.ndim == 2:
        reference, prediction, spacing = reference[None], prediction[None], (1.0, *spacing)
    challenges = {metric.challenge for metric in metrics.values() if metric.challenge is not None}
    scores = {
        challenge: brats23_lesion(reference, prediction, rules=RULES[challenge], spacing_mm=spacing)
        for challenge in challenges
    }
    return {
        name: scores[metric.challenge].dice if metric.kind == "lesion_dice" else scores[metric.challenge].hd95_mm
        for name, metric in metrics.items()
        if metric.challenge is not None
    }


def brats23_lesion(
    reference: Mask,
    prediction: Mask,
    *,
    rules: Rules,
    spacing_mm: tuple[float, ...] = (1.0, 1.0, 1.0),
) -> LesionScores:
    """Lesion-wise Dice and HD95 of a region; 1 and 0 where there is no lesion and none is predicted.

    A lesion that is missed has Dice 0 and a distance of 374 mm, and so has a component that touches none.

    Raises:
        ValueError: the masks differ in shape, are not boolean or have not three axes.
    """
    count(reference, prediction)  # for what it raises
    if reference.ndim != 3:
        raise ValueError(f"masks have {reference.ndim} axes, expected 3")
    around = ndimage.generate_binary_structure(3, 2)
    zones, lesions = ndimage.label(
        ndimage.binary_dilation(reference, around, iterations=rules.dilation), _NEIGHBOURS
    )
    components, parts = ndimage.label(prediction, _NEIGHBOURS)
    all_scored, touched = [], set()
    for number in range(1, lesions + 1):
        zone = zones == number
        touching = set(np.unique(components[zone]).tolist()) - {0}
        touched |= touching
        all_scored.append(_score(reference & zone, np.isin(components, list(touching)), spacing_mm))
    scored = [lesion for lesion in all_scored if lesion.volume_mm3 > rules.volume_mm3]
    made_up = parts - len(touched)
    counted = made_up if rules.has_false_positives else 0
    found = sum(lesion.is_found for lesion in scored)
    dice = _mean([lesion.dice for lesion in scored], counted, worst=0.0, nothing=1.0)
    hd95_mm = _mean([lesion.hd95_mm for lesion in scored], counted, worst=PENALTY_MM, nothing=0.0)
    return LesionScores(dice, hd95_mm, found, len(scored) - found, made_up)


def _score(lesion: Mask, predicted: Mask, spacing_mm: tuple[float, ...]) -> _Lesion:
    box = bounding_box(lesion | predicted)
    lesion, predicted = lesion[box], predicted[box]
    hd95_mm = measure(lesion, predicted, _HD95, spacing_mm=spacing_mm, penalty=PENALTY_MM)["hd95_surfel"]
    volume_mm3 = np.count_nonzero(lesion) * float(np.prod(spacing_mm))
    return _Lesion(volume_mm3, bool(predicted.any()), float(overlap("dice", count(lesion, predicted))), hd95_mm)


def _mean(values: list[float], extra: int, *, worst: float, nothing: float) -> float:
    total: Floats = np.array([*values, *[worst] * extra])
    return float(total.mean()) if len(total) else nothing
