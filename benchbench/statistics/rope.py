"""Probability that a model is better than another by more than a practically irrelevant difference.

Written here because the one library with this test, baycomp, is no longer maintained.

Source: Benavoli et al. 2014, the Bayesian signed-rank test; its region of practical equivalence as in Benavoli et
al. 2017, JMLR 18(77).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchbench.images.arrays import Floats

DRAWS = 50_000
_PRIOR = 0.5  # the weight of one imaginary patient without a difference
_CELLS = 200_000  # patients times draws in memory at once


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
    generator = np.random.default_rng(seed)
    ordered = np.sort(np.append(differences, 0.0))
    imaginary = int(np.flatnonzero(ordered == 0)[0])
    # for each patient, the number of others with which the sum of differences is below, or not above, the region
    below = np.searchsorted(ordered, -2 * rope - ordered, side="left")
    not_above = np.searchsorted(ordered, 2 * rope - ordered, side="right")
    wins = np.zeros(3)
    block = max(1, _CELLS // len(ordered))
    for first in range(0, draws, block):
        count = min(block, draws - first)
        # (patients, draws): the weights of one patient are next to each other in memory
        weights = generator.standard_exponential((len(ordered), count))
        weights[imaginary] = generator.standard_gamma(_PRIOR, count)
        weights /= weights.sum(0)
        cumulated = np.pad(np.cumsum(weights, axis=0), ((1, 0), (0, 0)))
        worse = np.einsum("pd,pd->d", weights, cumulated[below])
        same = np.einsum("pd,pd->d", weights, cumulated[not_above]) - worse
        probabilities = np.stack([1 - worse - same, same, worse])
        wins += np.bincount(probabilities.argmax(0), minlength=3)
    return Rope(*(wins / draws).tolist())
