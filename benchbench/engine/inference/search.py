"""Finds the thresholds and component sizes with the best Dice on the validation cases.

No value needs a prediction of its own. A case is reduced to a joint histogram of the thresholds that its voxels
reach, and the Dice of every combination of thresholds follows from that. Once the thresholds are chosen, the cases
are read again to find their components.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchbench.engine.inference.candidates import THRESHOLDS, UNKNOWN, Candidates
from benchbench.engine.inference.postprocess import (
    THRESHOLD,
    Probabilities,
    are_doubtful,
    decide,
    find_components,
)
from benchbench.images.arrays import Floats, Integers, Mask
from benchbench.metrics.scores import Counts, overlap
from benchbench.spec.inference import Postprocess

SIZES = tuple(range(101))

CaseReader = Callable[[], Iterable[Candidates]]
"""Returns the validation cases, the same ones at every call."""

_LEVELS = len(THRESHOLDS) + 1
_TIE = 1e-12


def search_rules(rules: Postprocess, regions: Sequence[str], read_cases: CaseReader) -> Postprocess:
    """Return the rules with the best Dice over the cases, without a search.

    First the thresholds are chosen, by the mean Dice over cases and regions before anything is removed. With these
    a component size is chosen for each region in `rules.components`, the outermost first, by the mean Dice after
    removal from this region and from those around it; with `search.totals` a size of the whole region too, from
    all pairs of both. Two empty masks have a Dice of 1. A region that is not labelled in a case has no part in it.
    Among equal candidates the nearest to `rules` wins.

    Memory: one case, and 10^K numbers for nested regions.
    """
    values = rules.model_dump()
    thresholds = _best_thresholds(rules, regions, read_cases)
    best = Postprocess(**{**values, "search": False, "thresholds": thresholds, "components": {}, "totals": {}})
    for number, region in enumerate(regions):
        size, total = rules.components.get(region), rules.totals.get(region)
        if size is not None or (total is not None and rules.searches_totals):
            size, total = _best_sizes(rules, best, regions, number, read_cases)
        if region in rules.components:
            best = best.model_copy(update={"components": {**best.components, region: size}})
        if region in rules.totals:
            best = best.model_copy(update={"totals": {**best.totals, region: total}})
    return best


def _best_thresholds(rules: Postprocess, regions: Sequence[str], read_cases: CaseReader) -> dict[str, float]:
    sums: list[Floats] = [np.zeros(1)] * len(regions)
    n_cases = 0
    for case in read_cases():
        counted = case.scored
        dice = dice_by_threshold(
            case.probabilities[:, counted], case.reference[:, counted], case.positives, nested=rules.nested
        )
        sums = [total + new for total, new in zip(sums, dice, strict=True)]
        n_cases += 1
    assert n_cases, "a search needs cases"
    preferred = [rules.thresholds.get(region, THRESHOLD) for region in regions]
    if rules.nested:
        candidates = [THRESHOLDS] * len(regions)
        indices = best_indices(_joint_dice(sums) / n_cases, candidates, preferred=preferred)
    else:
        indices = []
        for dice_sum, threshold in zip(sums, preferred, strict=True):
            indices += best_indices(dice_sum / n_cases, [THRESHOLDS], preferred=[threshold])
    return {region: THRESHOLDS[index] for region, index in zip(regions, indices, strict=True)}


def _joint_dice(sums: Sequence[Floats]) -> Floats:
    """Return the Dice, summed over cases and regions, for the thresholds of all nested regions (9, 9, ...)."""
    axes = len(sums)
    joint = np.zeros((len(THRESHOLDS),) * axes)
    for dice in sums:
        # the Dice of a region does not depend on the thresholds of the regions inside it
        inner = [1] * (axes - dice.ndim)
        joint += dice.reshape(*dice.shape, *inner)
    return joint


def _best_sizes(
    rules: Postprocess, chosen: Postprocess, regions: Sequence[str], number: int, read_cases: CaseReader
) -> tuple[int, int]:
    """Return the best component size and the best total of a region; 0 where it has none in `rules`.

    `chosen` has the thresholds, and the sizes of the regions around this one.
    """
    region = regions[number]
    affected = slice(number, None) if rules.nested else slice(number, number + 1)
    sizes = SIZES if region in rules.components else (0,)
    preferred = (rules.components.get(region, 0), rules.totals.get(region, 0))
    totals = SIZES if region in rules.totals and rules.searches_totals else (preferred[1],)
    dice = np.zeros((len(sizes), len(totals)))
    n_cases = 0
    for case in read_cases():
        volume = case.volume()
        masks = decide(volume.probabilities, chosen, regions=regions)
        dice_of_case = dice_by_size(
            volume.probabilities[number],
            masks[affected],
            volume.reference[affected],
            volume.scored,
            case.positives[affected],
            totals=totals,
            sure=rules.sure,
        )
        dice += dice_of_case[: len(sizes)]
        n_cases += 1
    row, column = best_indices(dice / n_cases, (sizes, totals), preferred=preferred)
    return sizes[row], totals[column]


def dice_by_threshold(
    probabilities: Probabilities, reference: Mask, positives: Integers, *, nested: bool
) -> list[Floats]:
    """Return the Dice of each region at its thresholds (9,), or nested at those of all up to it (9, 9, ...).

    probabilities and reference (K, N) of the voxels that reach the lowest threshold, and maybe others; positives
    (K,) of all voxels.
    """
    steps = np.array(THRESHOLDS, dtype=np.float32)
    levels = np.searchsorted(steps, probabilities, side="right")  # how many thresholds a voxel reaches
    key = np.zeros(probabilities.shape[1], dtype=np.int64)
    scores = []
    for number, (level, inside, positive) in enumerate(zip(levels, reference, positives, strict=True)):
        if nested:  # one number for the levels of this region and of those around it
            key = key * _LEVELS + level
            shape = (_LEVELS,) * (number + 1)
        else:
            key = level
            shape = (_LEVELS,)
        predicted = _count_above(key, shape)
        tp = _count_above(key[inside], shape)
        scores.append(_dice(tp, predicted, positive))
    return scores


def dice_by_size(
    probabilities: Probabilities,
    masks: Mask,
    reference: Mask,
    scored: Mask,
    positives: Integers,
    *,
    totals: Sequence[int],
    sure: float,
) -> Floats:
    """Return the Dice at each of SIZES and T totals (101, T), summed over regions, when the first loses voxels.

    It loses its components that are smaller than the size, and then everything if fewer voxels than the total are
    left. probabilities (*space) are those of the first region. masks and reference (J, *space); the regions after
    the first are inside it and lose the same voxels. `scored` (*space) are the voxels that count. positives (J,).
    """
    components = find_components(masks[0], probabilities)
    doubtful = are_doubtful(components.sizes, components.sums, smaller=len(SIZES), sure=sure)
    sizes = components.sizes[doubtful]
    count = len(components.sizes)

    def left(amounts: NDArray[Any]) -> Floats:
        """Return what is left, at each of SIZES, of an amount that each component has."""
        lost = np.bincount(sizes, weights=amounts[doubtful], minlength=len(SIZES))
        lost_up_to = np.cumsum(lost)[: len(SIZES) - 1]
        return amounts.sum() - np.concatenate([[0.0], lost_up_to])

    voxels_left = left(components.sizes).astype(np.int64)
    sums_left = left(components.sums)
    is_removed = [are_doubtful(voxels_left, sums_left, smaller=total, sure=sure) for total in totals]
    all_removed = np.stack(is_removed, axis=1)  # (101, T)
    dice = np.zeros(all_removed.shape)
    for mask, region, positive in zip(masks, reference, positives, strict=True):
        inside = mask[components.box] & scored[components.box]
        hits = inside & region[components.box]
        predicted = left(np.bincount(components.labels[inside], minlength=count))
        tp = left(np.bincount(components.labels[hits], minlength=count))
        dice_left = _dice(tp, predicted, positive)[:, None]
        nothing = np.zeros(1)
        dice += np.where(all_removed, _dice(nothing, nothing, positive), dice_left)
    return dice


def best_indices(
    scores: Floats, candidates: Sequence[Sequence[float]], *, preferred: Sequence[float]
) -> list[int]:
    """Return the index of the highest score; each axis of `scores` has its candidates and its preferred value.

    Among equal scores the one whose candidates are nearest to the preferred values wins.
    """
    highest = np.argwhere(scores >= scores.max() - _TIE)
    distances = np.zeros(len(highest))
    for indices, values, value in zip(highest.T, candidates, preferred, strict=True):
        distances += np.abs(np.asarray(values)[indices] - value)
    nearest: list[int] = highest[np.argmin(distances.round(9))].tolist()
    return nearest


def _count_above(keys: Integers, shape: tuple[int, ...]) -> Integers:
    """Return how many voxels reach each threshold of each axis, (9, 9, ...), for joint levels as one number."""
    counts = np.bincount(keys, minlength=int(np.prod(shape))).reshape(shape)
    for axis in range(len(shape)):
        from_the_top = np.cumsum(np.flip(counts, axis), axis)
        counts = np.flip(from_the_top, axis).take(range(1, _LEVELS), axis)
    return counts


def _dice(tp: NDArray[Any], predicted: NDArray[Any], positive: int) -> Floats:
    """Return the Dice; 0 throughout where the region is not labelled, so that the case prefers no candidate."""
    if positive == UNKNOWN:
        return np.zeros(np.shape(tp))
    return overlap("dice", Counts(tp, predicted - tp, positive - tp, 0))
