"""Scores lesion by lesion, as in the BraTS challenges of 2023.

Written here because the official evaluation is a script that assumes voxels of 1 mm, not a package.

Source: Saluja et al., the official evaluation of BraTS 2023 (`rachitsaluja/BraTS-2023-Metrics`).

The rules have these consequences, which are kept:

- The smallest volume drops lesions of the reference only; a predicted voxel that touches no lesion counts fully.
- A predicted component that bridges two lesions is scored against both.
- A lesion counts as found if a component touches only the zone around it, with Dice 0 and a finite distance.
- Components that touch a dropped lesion are not false positives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from benchbench.images.arrays import Box, Mask, bounding_box
from benchbench.images.label_values import has_value
from benchbench.metrics.components import find_components
from benchbench.metrics.distances import measure
from benchbench.metrics.overlaps import check_masks, count, overlap
from benchbench.metrics.zones import find_zones
from benchbench.spec.metric_names import Challenge, MetricName, parse_metrics

PENALTY_MM = 374.0
"""Distance of a missed lesion and of a false positive."""
_HD95 = parse_metrics(["hd95_surfel"])


class Rules(NamedTuple):
    """The rules of one challenge."""

    dilation: int
    """Width of the zone around a lesion in voxels; lesions whose zones touch are one lesion."""
    volume_mm3: float
    """Largest volume of a lesion of the reference that is not scored."""
    has_false_positives: bool = True
    """True if a component that touches no lesion counts as a lesion with Dice 0."""


RULES: dict[Challenge, Rules] = {
    "gli": Rules(3, 50),
    "ssa": Rules(3, 50),
    "ped": Rules(3, 50),
    "men": Rules(1, 50),
    "men-rt": Rules(1, 50, has_false_positives=False),
    "met": Rules(1, 2),
}


class LesionScores(NamedTuple):
    """The scores of one region of one case."""

    dice: float
    """Mean over the scored lesions and the false positives that count."""
    hd95_mm: float
    """Mean over the same lesions, in mm."""
    n_found: int
    """Number of scored lesions that a component touches."""
    n_missed: int
    """Number of scored lesions that no component touches."""
    n_made_up: int
    """Number of predicted components that touch no lesion."""

    def columns(self) -> dict[str, float]:
        """Return the scores under their names in tables."""
        return {name.removeprefix("n_"): value for name, value in self._asdict().items()}


class _Lesion(NamedTuple):
    volume_mm3: float
    is_found: bool
    dice: float
    hd95_mm: float


def measure_lesions(
    reference: Mask, prediction: Mask, metrics: Mapping[str, MetricName], *, spacing_mm: Sequence[float] | None
) -> dict[str, float]:
    """Return each lesion score of a region, by its name in `metrics`.

    An image is treated as a volume of one slice. Without spacing a voxel measures 1 along each axis, as in the
    official evaluation.
    """
    spacing = (1.0,) * reference.ndim if spacing_mm is None else tuple(spacing_mm)
    if reference.ndim == 2:
        reference, prediction, spacing = reference[None], prediction[None], (1.0, *spacing)
    by_challenge: dict[Challenge, LesionScores] = {}
    scores: dict[str, float] = {}
    for name, metric in metrics.items():
        challenge = metric.challenge
        assert challenge is not None, f"{name} is no lesion score"
        if challenge not in by_challenge:
            rules = RULES[challenge]
            by_challenge[challenge] = brats23_lesion(reference, prediction, rules=rules, spacing_mm=spacing)
        region = by_challenge[challenge]
        is_dice = metric.kind == "lesion_dice"
        scores[name] = region.dice if is_dice else region.hd95_mm
    return scores


def brats23_lesion(
    reference: Mask,
    prediction: Mask,
    *,
    rules: Rules,
    spacing_mm: tuple[float, ...] = (1.0, 1.0, 1.0),
) -> LesionScores:
    """Return the lesion-wise Dice and HD95 of a region; 1 and 0 if there is no lesion and none is predicted.

    A missed lesion, and a component that touches no lesion, have Dice 0 and a distance of 374 mm.

    Raises:
        ValueError: the masks differ in shape, are not boolean or do not have three axes.
    """
    check_masks(reference, prediction)
    if reference.ndim != 3:
        raise ValueError(f"masks have {reference.ndim} axes, expected 3")
    box = _grown(bounding_box(reference | prediction), rules.dilation + 1, reference.shape)
    reference, prediction = reference[box], prediction[box]
    zones, zone_boxes = find_zones(reference, dilation=rules.dilation)
    components, component_boxes = find_components(prediction)
    scored: list[_Lesion] = []
    touched: set[int] = set()
    for number, zone_box in enumerate(zone_boxes, 1):
        zone = zones[zone_box] == number
        touching = set(np.unique(components[zone_box][zone]).tolist()) - {0}
        touched |= touching
        around = _union([zone_box, *(component_boxes[component - 1] for component in touching)])
        in_lesion = reference[around] & (zones[around] == number)
        in_components = has_value(components[around], touching)
        lesion = _score(in_lesion, in_components, spacing_mm)
        if lesion.volume_mm3 > rules.volume_mm3:
            scored.append(lesion)
    n_made_up = len(component_boxes) - len(touched)
    n_false_positives = n_made_up if rules.has_false_positives else 0
    dice = [lesion.dice for lesion in scored] + [0.0] * n_false_positives
    hd95_mm = [lesion.hd95_mm for lesion in scored] + [PENALTY_MM] * n_false_positives
    n_found = sum(lesion.is_found for lesion in scored)
    return LesionScores(
        dice=_mean(dice, default=1.0),
        hd95_mm=_mean(hd95_mm, default=0.0),
        n_found=n_found,
        n_missed=len(scored) - n_found,
        n_made_up=n_made_up,
    )


def _grown(box: Box, margin: int, shape: Sequence[int]) -> Box:
    """Return a box that is larger by a margin on each side, as far as the volume goes."""
    return tuple(
        slice(max(0, part.start - margin), min(size, part.stop + margin))
        for part, size in zip(box, shape, strict=True)
    )


def _union(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around some boxes."""
    union = []
    for parts in zip(*boxes, strict=True):
        start = min(part.start for part in parts)
        stop = max(part.stop for part in parts)
        union.append(slice(start, stop))
    return tuple(union)


def _score(lesion: Mask, predicted: Mask, spacing_mm: tuple[float, ...]) -> _Lesion:
    box = bounding_box(lesion | predicted)
    lesion, predicted = lesion[box], predicted[box]
    distances = measure(lesion, predicted, _HD95, spacing_mm=spacing_mm, penalty=PENALTY_MM)
    return _Lesion(
        volume_mm3=np.count_nonzero(lesion) * float(np.prod(spacing_mm)),
        is_found=bool(predicted.any()),
        dice=float(overlap("dice", count(lesion, predicted))),
        hd95_mm=distances["hd95_surfel"],
    )


def _mean(values: list[float], *, default: float) -> float:
    return float(np.mean(values)) if values else default
