"""Probability that a model is better than another by more than a practically irrelevant difference.

Written here because the one library with this test, baycomp, is no longer maintained.

Source: Benavoli et al. 2014, the Bayesian signed-rank test; its region of practical equivalence as in Benavoli et
al. 2017, JMLR 18(77).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from benchbench.images.arrays import Floats

DRAWS = 50_000
_PRIOR = 0.5  # the weight of one imaginary patient without a difference
_CELLS = 200_000  # patients times draws in memory at once
_SHARED_CELLS = 2_000_000  # patients times draws that are kept for the other pairs of a board


class _Block(NamedTuple):
    """Random numbers of some draws, which are the same for every pair of models on the same number of patients."""

    weights: Floats
    """(patients, draws): the weights of one patient are next to each other in memory."""
    imaginary: Floats
    """(draws,) weights of the imaginary patient, which replace those of one row."""


class Rope(NamedTuple):
    """Probabilities that the first model is better, that both are practically equal, and that it is worse."""

    better: float
    same: float
    worse: float


def bayesian_signed_rank(differences: Floats, rope: float, *, draws: int = DRAWS, seed: int = 0) -> Rope:
    """Return in which fraction of the draws each of the three is the most probable one.

    The three are decided by the mean of two patients' differences: above, within or below [-rope, rope]. Patients
    are weighted by a Dirichlet distribution.
    """
    ordered = np.sort(np.append(differences, 0.0))
    imaginary = int(np.flatnonzero(ordered == 0)[0])
    # for each patient, the number of others with which the sum of differences is below, or not above, the region
    below = np.searchsorted(ordered, -2 * rope - ordered, side="left")
    not_above = np.searchsorted(ordered, 2 * rope - ordered, side="right")
    wins = np.zeros(3)
    for block in _blocks(len(ordered), draws, seed):
        weights = block.weights.copy()
        weights[imaginary] = block.imaginary
        weights /= weights.sum(0)
        cumulated = _cumulate(weights)
        worse = np.einsum("pd,pd->d", weights, cumulated[below])
        same = np.einsum("pd,pd->d", weights, cumulated[not_above]) - worse
        probabilities = np.stack([1 - worse - same, same, worse])
        wins += np.bincount(probabilities.argmax(0), minlength=3)
    return Rope(*(wins / draws).tolist())


def _blocks(patients: int, draws: int, seed: int) -> Iterable[_Block]:
    if patients * draws <= _SHARED_CELLS:
        return _shared_blocks(patients, draws, seed)
    return _draw_blocks(patients, draws, seed)


@lru_cache(maxsize=1)
def _shared_blocks(patients: int, draws: int, seed: int) -> tuple[_Block, ...]:
    return tuple(_draw_blocks(patients, draws, seed))


def _draw_blocks(patients: int, draws: int, seed: int) -> Iterator[_Block]:
    generator = np.random.default_rng(seed)
    size = max(1, _CELLS // patients)
    for first in range(0, draws, size):
        count = min(size, draws - first)
        weights = generator.standard_exponential((patients, count))
        yield _Block(weights, generator.standard_gamma(_PRIOR, count))


def _cumulate(weights: Floats) -> Floats:
    """Return (patients + 1, draws) sums of the first rows; faster than `np.cumsum`, with the same rounding."""
    cumulated = np.zeros((len(weights) + 1, weights.shape[1]))
    for row, of_patient in enumerate(weights):
        np.add(cumulated[row], of_patient, out=cumulated[row + 1])
    return cumulated
