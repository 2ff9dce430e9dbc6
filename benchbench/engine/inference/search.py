"""Thresholds and component sizes that suit the validation cases best, without a prediction for each candidate.

A case is reduced to a joint histogram of which thresholds its voxels reach, from which the Dice of every
combination of thresholds follows. The voxels that reach any threshold are kept in a temporary file, for the
components that there are once thresholds have been chosen.
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


class _Kept(NamedTuple):
    """The voxels of a case that are in a mask at some threshold."""

    probabilities: Probabilities
    """(K, *space), 0 where no threshold is reached."""
    truth: Mask
    """(K, *space), the same."""
    positives: Integers
    """(K,) voxels of the truth, wherever they are."""


class Search:
    """Fed with one validation case after the other; then it knows the best rules.

    First the thresholds, by the mean Dice over cases and regions before anything is removed. With them, the size
    for each region in `rules.components`, the outermost first, by the mean Dice after removal from this region
    and those around it. Two empty masks have a Dice of 1. Of equal candidates the nearest to `rules` is taken.

    Takes memory for one case, and 10^K numbers for nested regions. Where there are component sizes to choose, a
    temporary file takes 5 K + 8 bytes for each voxel that may be foreground; the end of `with` removes it.
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

    def add(self, probabilities: Probabilities, truth: Mask) -> None:
        """Takes a case in: probabilities and reference masks, (K, *space) both."""
        reach = probabilities[:1] if self._rules.nested else probabilities
        places = np.flatnonzero((reach >= np.float32(THRESHOLDS[0])).any(axis=0))
        shape, count = probabilities.shape[1:], len(self._regions)
        positives = np.count_nonzero(truth.reshape(count, -1), axis=1)
        probabilities = probabilities.reshape(count, -1)[:, places]
        truth = truth.reshape(count, -1)[:, places]
        dice = dice_by_threshold(probabilities, truth, positives, nested=self._rules.nested)
        self._dice = [total + new for total, new in zip(self._dice, dice, strict=True)]
        self._cases += 1
        if self._rules.components:
            for array in (np.array(shape), places, probabilities, truth, positives):
                np.save(self._file, array, allow_pickle=False)

    def best(self) -> Postprocess:
        """The rules that suit the cases added so far, with nothing left to search."""
        assert self._cases, "a search needs cases"
        values = self._rules.model_dump()
        values |= {"search": False, "thresholds": self._best_thresholds(), "components": {}, "totals": {}}
        chosen = Postprocess(**values)
        for number, region in enumerate(self._regions):
            total = {region: self._rules.totals[region]} if region in self._rules.totals else {}
            if region in self._rules.components:
                size = self._best_size(chosen, number, total=total.get(region, 0))
                chosen = chosen.model_copy(update={"components": {**chosen.components, region: size}})
            chosen = chosen.model_copy(update={"totals": {**chosen.totals, **total}})
        return chosen

    def _best_thresholds(self) -> dict[str, float]:
        wanted = [self._rules.thresholds.get(region, THRESHOLD) for region in self._regions]
        if self._rules.nested:
            # the Dice of a region does not depend on the thresholds of those inside it
            axes = len(self._regions)
            total = np.zeros((len(THRESHOLDS),) * axes)
            for dice in self._dice:
                total += dice.reshape(*dice.shape, *[1] * (axes - dice.ndim))
            places = best_places(total / self._cases, THRESHOLDS, wanted=wanted)
        else:
            pairs = zip(self._dice, wanted, strict=True)
            places = [best_places(dice / self._cases, THRESHOLDS, wanted=[own])[0] for dice, own in pairs]
        return {region: THRESHOLDS[place] for region, place in zip(self._regions, places, strict=True)}

    def _best_size(self, rules: Postprocess, number: int, *, total: int) -> int:
        """Of a region's components, under rules by which nothing is yet removed from it or those inside it."""
        region = self._regions[number]
        concerned = slice(number, None) if self._rules.nested else slice(number, number + 1)
        dice = np.zeros(len(SIZES))
        for case in self._kept():
            masks = decide(case.probabilities, rules, regions=self._regions)
            dice += dice_by_size(
                case.probabilities[number],
                masks[concerned],
                case.truth[concerned],
                case.positives[concerned],
                total=total,
                sure=rules.sure,
            )
        (place,) = best_places(dice / self._cases, SIZES, wanted=[self._rules.components[region]])
        return SIZES[place]

    def _kept(self) -> Iterator[_Kept]:
        self._file.seek(0)
        for _ in range(self._cases):
            shape, places, probabilities, truth, positives = (np.load(self._file) for _ in range(5))
            yield _Kept(_spread(probabilities, places, shape), _spread(truth, places, shape), positives)


def dice_by_threshold(
    probabilities: Probabilities, truth: Mask, positives: Integers, *, nested: bool
) -> list[Floats]:
    """For each region the Dice at its thresholds (9,), or, nested, at those of all regions up to it (9, 9, ...).

    probabilities and truth (K, N) of at least the voxels that reach the lowest threshold; positives (K,) in all.
    """
    steps = np.array(THRESHOLDS, dtype=np.float32)
    levels = np.searchsorted(steps, probabilities, side="right")  # how many thresholds a voxel reaches
    key = np.zeros(probabilities.shape[1], dtype=np.int64)
    found = []
    for number, (own, region, positive) in enumerate(zip(levels, truth, positives, strict=True)):
        key = key * _LEVELS + own if nested else own
        shape = (_LEVELS,) * (number + 1 if nested else 1)
        predicted, tp = (_count_above(voxels, shape) for voxels in (key, key[region]))
        found.append(_dice(tp, predicted, positive))
    return found


def dice_by_size(
    probabilities: Probabilities, masks: Mask, truth: Mask, positives: Integers, *, total: int, sure: float
) -> Floats:
    """The Dice at each of SIZES (101,), summed over regions, when the first loses its smaller components.

    probabilities (*space) are those of the first region; masks and truth (J, *space), those after the first lie
    inside it and lose the same voxels; positives (J,).
    """
    parts = find_components(masks[0], probabilities)
    doubtful = are_doubtful(parts.sizes, parts.sums, smaller=len(SIZES), sure=sure)
    sizes = parts.sizes[doubtful]

    def left(amounts: NDArray[Any]) -> Floats:
        """At each of SIZES, what is left of an amount that components have."""
        lost = np.bincount(sizes, weights=amounts[doubtful], minlength=len(SIZES))
        return amounts.sum() - np.concatenate([[0.0], np.cumsum(lost)[: len(SIZES) - 1]])

    gone = are_doubtful(left(parts.sizes).astype(np.int64), left(parts.sums), smaller=total, sure=sure)
    dice = np.zeros(len(SIZES))
    for mask, region, positive in zip(masks, truth, positives, strict=True):
        inside, hit = mask[parts.box], region[parts.box]
        counts = (
            np.bincount(parts.labels[voxels], minlength=len(parts.sizes)) for voxels in (inside, inside & hit)
        )
        predicted, tp = (np.where(gone, 0, left(count)) for count in counts)
        dice += _dice(tp, predicted, positive)
    return dice


def best_places(scores: Floats, candidates: Sequence[float], *, wanted: Sequence[float]) -> list[int]:
    """Where in `scores`, with an axis of the candidates for each number wanted, the highest is.

    Of equal ones, the one whose candidates are nearest to what is wanted.
    """
    highest = np.argwhere(scores >= scores.max() - _TIE)
    distances = np.abs(np.asarray(candidates)[highest] - np.asarray(wanted)).sum(axis=1)
    nearest: list[int] = highest[np.argmin(distances.round(9))].tolist()
    return nearest


def _spread(values: NDArray[Number], places: Integers, shape: Integers) -> NDArray[Number]:
    """Values (K, N) at their places among zeros (K, *space)."""
    space = np.zeros((len(values), np.prod(shape)), values.dtype)
    space[:, places] = values
    return space.reshape(-1, *shape)


def _count_above(keys: Integers, shape: tuple[int, ...]) -> Integers:
    """How many voxels reach each threshold of each axis, (9, 9, ...), from joint levels as one number."""
    counts = np.bincount(keys, minlength=int(np.prod(shape))).reshape(shape)
    for axis in range(len(shape)):
        counts = np.flip(np.cumsum(np.flip(counts, axis), axis), axis).take(range(1, _LEVELS), axis)
    return counts


def _dice(tp: NDArray[Any], predicted: NDArray[Any], positive: int) -> Floats:
    return overlap("dice", Counts(tp, predicted - tp, positive - tp, 0))
