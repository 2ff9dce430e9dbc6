"""Finds the thresholds and component sizes with the best Dice on the validation cases.

No candidate needs a prediction of its own. A case is reduced to a joint histogram of the thresholds that its
voxels reach, and the Dice of every combination of thresholds follows from that. The voxels that reach any
threshold are kept in a temporary file, to find the components once the thresholds are chosen.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

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

THRESHOLDS = tuple(round(0.3 + 0.05 * number, 2) for number in range(9))
SIZES = tuple(range(101))

Number = TypeVar("Number", bound=np.generic)

_LEVELS = len(THRESHOLDS) + 1
_TIE = 1e-12


class _StoredCase(NamedTuple):
    """A validation case, reduced to the voxels that reach any threshold."""

    probabilities: Probabilities
    """(K, *space), 0 where no threshold is reached."""
    reference: Mask
    """(K, *space), False where no threshold is reached."""
    scored: Mask
    """(*space), False where a voxel is ignored."""
    positives: Integers
    """(K,) voxels of the reference, whether they reach a threshold or not."""


class Search:
    """Takes the validation cases one after another and returns the best rules.

    First it chooses the thresholds, by the mean Dice over cases and regions before anything is removed. With these
    it chooses a size for each region in `rules.components`, the outermost first, by the mean Dice after removal
    from this region and from those around it. Two empty masks have a Dice of 1. Among equal candidates the nearest
    to `rules` wins.

    Memory: one case, and 10^K numbers for nested regions. Where component sizes are chosen, a temporary file takes
    5 K + 9 bytes for each voxel that may be foreground, until the end of the `with` block.
    """

    def __init__(self, rules: Postprocess, regions: Sequence[str]) -> None:
        self._rules = rules
        self._regions = tuple(regions)
        self._dice: list[Floats] = [np.zeros(1)] * len(self._regions)
        self._cases = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, probabilities: Probabilities, reference: Mask, scored: Mask) -> None:
        """Add a case: probabilities and reference masks, both (K, *space), and the scored voxels (*space).

        Ignored voxels count in no Dice. They do belong to components, because a prediction does not know them.
        """
        outermost = probabilities[:1] if self._rules.nested else probabilities
        reached = (outermost >= np.float32(THRESHOLDS[0])).any(axis=0)
        places = np.flatnonzero(reached)
        shape, count = probabilities.shape[1:], len(self._regions)
        reference = reference & scored
        positives = np.count_nonzero(reference.reshape(count, -1), axis=1)
        probabilities = probabilities.reshape(count, -1)[:, places]
        reference = reference.reshape(count, -1)[:, places]
        scored = scored.reshape(1, -1)[:, places]
        counted = scored[0]
        dice = dice_by_threshold(
            probabilities[:, counted], reference[:, counted], positives, nested=self._rules.nested
        )
        self._dice = [total + new for total, new in zip(self._dice, dice, strict=True)]
        self._cases += 1
        if self._rules.components:
            for array in (np.array(shape), places, probabilities, reference, scored, positives):
                np.save(self._file, array, allow_pickle=False)

    def best(self) -> Postprocess:
        """Return the rules with the best Dice over the cases added so far, with `search` set to false."""
        assert self._cases, "a search needs cases"
        values = self._rules.model_dump()
        values |= {"search": False, "thresholds": self._best_thresholds(), "components": {}, "totals": {}}
        best = Postprocess(**values)
        for number, region in enumerate(self._regions):
            total = self._rules.totals.get(region)
            if region in self._rules.components:
                size = self._best_size(best, number, total=total or 0)
                best = best.model_copy(update={"components": {**best.components, region: size}})
            if total is not None:
                best = best.model_copy(update={"totals": {**best.totals, region: total}})
        return best

    def _best_thresholds(self) -> dict[str, float]:
        preferred = [self._rules.thresholds.get(region, THRESHOLD) for region in self._regions]
        if self._rules.nested:
            indices = best_indices(self._joint_dice() / self._cases, THRESHOLDS, preferred=preferred)
        else:
            indices = []
            for dice, threshold in zip(self._dice, preferred, strict=True):
                indices += best_indices(dice / self._cases, THRESHOLDS, preferred=[threshold])
        return {region: THRESHOLDS[index] for region, index in zip(self._regions, indices, strict=True)}

    def _joint_dice(self) -> Floats:
        """Return the Dice, summed over cases and regions, for the thresholds of all nested regions (9, 9, ...)."""
        axes = len(self._regions)
        total = np.zeros((len(THRESHOLDS),) * axes)
        for dice in self._dice:
            # the Dice of a region does not depend on the thresholds of the regions inside it
            inner = [1] * (axes - dice.ndim)
            total += dice.reshape(*dice.shape, *inner)
        return total

    def _best_size(self, rules: Postprocess, number: int, *, total: int) -> int:
        """Return the best component size of a region; `rules` remove nothing from it or from those inside it."""
        region = self._regions[number]
        affected = slice(number, None) if self._rules.nested else slice(number, number + 1)
        dice = np.zeros(len(SIZES))
        for case in self._stored_cases():
            masks = decide(case.probabilities, rules, regions=self._regions)
            dice += dice_by_size(
                case.probabilities[number],
                masks[affected],
                case.reference[affected],
                case.scored,
                case.positives[affected],
                total=total,
                sure=rules.sure,
            )
        preferred = self._rules.components[region]
        (index,) = best_indices(dice / self._cases, SIZES, preferred=[preferred])
        return SIZES[index]

    def _stored_cases(self) -> Iterator[_StoredCase]:
        self._file.seek(0)
        for _ in range(self._cases):
            shape, places, *arrays, positives = (np.load(self._file) for _ in range(6))
            probabilities, reference, scored = (_scatter(values, places, shape) for values in arrays)
            yield _StoredCase(probabilities, reference, scored[0], positives)


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
    total: int,
    sure: float,
) -> Floats:
    """Return the Dice at each of SIZES (101,), summed over regions, when the first loses its smaller components.

    probabilities (*space) are those of the first region. masks and reference (J, *space); the regions after the
    first are inside it and lose the same voxels. `scored` (*space) are the voxels that count. positives (J,). The
    first region is removed whole if fewer than `total` voxels are left of it.
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
    all_removed = are_doubtful(voxels_left, left(components.sums), smaller=total, sure=sure)
    dice = np.zeros(len(SIZES))
    for mask, region, positive in zip(masks, reference, positives, strict=True):
        inside = mask[components.box] & scored[components.box]
        hits = inside & region[components.box]
        predicted = left(np.bincount(components.labels[inside], minlength=count))
        tp = left(np.bincount(components.labels[hits], minlength=count))
        predicted[all_removed] = 0
        tp[all_removed] = 0
        dice += _dice(tp, predicted, positive)
    return dice


def best_indices(scores: Floats, candidates: Sequence[float], *, preferred: Sequence[float]) -> list[int]:
    """Return the index of the highest score; each axis of `scores` runs over the candidates.

    `preferred` has a value for each axis. Among equal scores the one whose candidates are nearest to it wins.
    """
    highest = np.argwhere(scores >= scores.max() - _TIE)
    values = np.asarray(candidates)[highest]
    distances = np.abs(values - np.asarray(preferred)).sum(axis=1)
    nearest: list[int] = highest[np.argmin(distances.round(9))].tolist()
    return nearest


def _scatter(values: NDArray[Number], places: Integers, shape: Integers) -> NDArray[Number]:
    """Return values (K, N) at their places in an array (K, *space) of zeros."""
    space = np.zeros((len(values), np.prod(shape)), values.dtype)
    space[:, places] = values
    return space.reshape(-1, *shape)


def _count_above(keys: Integers, shape: tuple[int, ...]) -> Integers:
    """Return how many voxels reach each threshold of each axis, (9, 9, ...), for joint levels as one number."""
    counts = np.bincount(keys, minlength=int(np.prod(shape))).reshape(shape)
    for axis in range(len(shape)):
        from_the_top = np.cumsum(np.flip(counts, axis), axis)
        counts = np.flip(from_the_top, axis).take(range(1, _LEVELS), axis)
    return counts


def _dice(tp: NDArray[Any], predicted: NDArray[Any], positive: int) -> Floats:
    return overlap("dice", Counts(tp, predicted - tp, positive - tp, 0))
