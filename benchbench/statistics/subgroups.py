"""Differences between the patients of a subgroup and all others, tested for all subgroups and models together.

The subgroups are permuted among the patients of each fold, so that the noise of training, which the patients of a
fold share, cannot look like a difference between them. The distribution of the largest statistic over all
subgroups and models adjusts every p-value and interval for their number; subgroups that overlap and models that
fail on the same patients cost little.

Source: Westfall and Young 1993, Resampling-Based Multiple Testing (the largest statistic); Janssen 1997,
doi:10.1016/S0167-7152(97)00043-6 (dividing by the standard error makes permutations valid for unequal variances).
Written here because SciPy permutes neither within strata nor several groupings together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchbench.images.arrays import Floats, Integers
from benchbench.statistics.intervals import TAILS
from benchbench.statistics.panel import EQUAL_DIGITS, Panel

PERMUTATIONS = 2000
_CELLS = 2_000_000  # patients times subgroups times permutations in memory at once
Masks = NDArray[np.bool_]


class SubgroupDifferences(NamedTuple):
    """Differences of K subgroups and M models: the mean of the subgroup less that of the others in its folds."""

    differences: Floats
    """(K, M), weighted over folds; nan where no fold has patients of both sides."""
    half_widths: Floats
    """(K, M): the intervals with these half widths all contain the true differences with a probability of 95 %."""
    p: Floats
    """(K, M) two-sided p, adjusted for all subgroups and models."""


class _Fold(NamedTuple):
    """The patients of a fold."""

    values: Floats
    """(N, M)."""
    members: Floats
    """(N, K): 1 for a patient of the subgroup, otherwise 0."""


def subgroup_differences(
    panel: Panel, members: Masks, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> SubgroupDifferences:
    """Compare the patients of each subgroup with the others; `members` is (K, P)."""
    values = panel.patient_means.round(EQUAL_DIGITS).T  # (P, M)
    folds = [_Fold(values[is_in], members[:, is_in].T.astype(np.float64)) for is_in in _in_folds(panel.folds)]
    (differences,), (errors,) = _differences(folds, [fold.members[None] for fold in folds])
    statistics = _statistics(differences, errors)
    largest: list[Floats] = []
    for permuted in _permuted(folds, permutations, seed):
        block = _statistics(*_differences(folds, permuted))
        largest.append(np.nan_to_num(block).reshape(len(block), -1).max(axis=1))
    maxima = np.concatenate(largest)
    # rounding must not separate equal statistics
    reached = (maxima[:, None, None] >= statistics * (1 - 1e-9)).sum(axis=0)
    p = np.where(np.isnan(statistics), np.nan, (1 + reached) / (1 + permutations))
    limit = float(np.quantile(maxima, 1 - 2 * TAILS[0]))
    return SubgroupDifferences(differences, limit * errors, p)


def _in_folds(folds: Integers) -> Iterator[Masks]:
    for fold in range(int(folds[-1]) + 1):
        yield folds == fold


def _permuted(folds: list[_Fold], permutations: int, seed: int) -> Iterator[list[Floats]]:
    """Yield for some of the permutations the members (B, N, K) of each fold."""
    generator = np.random.default_rng(seed)
    size = sum(fold.members.size for fold in folds)
    block = max(1, min(permutations, _CELLS // size))
    for first in range(0, permutations, block):
        rows = min(block, permutations - first)
        permuted: list[Floats] = []
        for fold in folds:
            order = generator.random((rows, len(fold.members))).argsort(axis=1)
            permuted.append(fold.members[order])
        yield permuted


def _differences(folds: list[_Fold], members: list[Floats]) -> tuple[Floats, Floats]:
    """Return the differences (B, K, M) and their standard errors.

    A fold counts in proportion to n1 n0 / (n1 + n0), as in a linear model with a term for every fold. The variance
    of each side is pooled over folds.
    """
    weights, differences, shares = [], [], []
    squares: list[tuple[Floats, Floats]] = []
    freedoms: list[tuple[Floats, Floats]] = []
    for fold, is_member in zip(folds, members, strict=True):
        inside, outside = _side(fold.values, is_member), _side(fold.values, 1 - is_member)
        n_in, n_out = inside.size[..., None], outside.size[..., None]  # (B, K, 1)
        weights.append(n_in * n_out / (n_in + n_out))
        differences.append(inside.mean - outside.mean)
        shares.append((1 / np.maximum(n_in, 1), 1 / np.maximum(n_out, 1)))
        squares.append((inside.squares, outside.squares))
        freedoms.append((np.maximum(n_in - 1, 0), np.maximum(n_out - 1, 0)))
    weight = np.stack(weights)
    with np.errstate(invalid="ignore"):  # no fold has patients of both sides
        weight = weight / weight.sum(axis=0)
    variance = np.zeros_like(differences[0])
    for side in (0, 1):
        freedom = np.maximum(sum(pair[side] for pair in freedoms), 1)
        pooled = sum(pair[side] for pair in squares) / freedom
        share = np.stack([pair[side] for pair in shares])
        variance = variance + pooled * (np.square(weight) * share).sum(axis=0)
    return (weight * np.stack(differences)).sum(axis=0), np.sqrt(variance)


class _Side(NamedTuple):
    """The patients inside or outside of a subgroup, in one fold."""

    size: Floats
    """(B, K)."""
    mean: Floats
    """(B, K, M); 0 without a patient."""
    squares: Floats
    """(B, K, M): sum of squared distances from the mean."""


def _side(values: Floats, is_member: Floats) -> _Side:
    by_group = is_member.swapaxes(1, 2)  # (B, K, N)
    size = by_group.sum(axis=2)
    centred = values - values.mean(axis=0)  # keeps the sums of squares exact
    sums = by_group @ centred
    mean = sums / np.maximum(size, 1)[..., None]
    squares = np.maximum(by_group @ np.square(centred) - sums * mean, 0)
    return _Side(size, mean, squares)


def _statistics(differences: Floats, errors: Floats) -> Floats:
    """Return |difference| in standard errors; 0 where nothing differs, nan without a difference to test."""
    sizes = np.abs(differences)
    is_nothing = sizes < 10.0**-EQUAL_DIGITS
    safe = np.maximum(errors, 10.0 ** -(2 * EQUAL_DIGITS))
    statistics: Floats = np.where(is_nothing, 0.0, sizes / safe)
    return statistics
