"""How probable it is that one model is better than another by more than matters.

Source: Benavoli et al. 2014, the Bayesian signed-rank test; its region of practical equivalence as in Benavoli et
al. 2017, JMLR 18(77).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchbench.images.arrays import Floats

DRAWS = 50_000
_PRIOR = 0.5  # the weight of one made-up patient without a difference
_CELLS = 200_000  # patients times draws held at a time


class Rope(NamedTuple):
    """Probabilities that the first model is better, that both are the same for practical purposes, and worse."""

    better: float
    same: float
    worse: float


def bayesian_signed_rank(differences: Floats, rope: float, *, draws: int = DRAWS, seed: int = 0) -> Rope:
    """Which of the three holds for the mean of two patients' differences, in how many of the draws.

    Patients are weighted by a Dirichlet distribution; in every draw the most probable of the three is counted.
    """
    generator = np.random.default_rng(seed)
    ordered = np.sort(np.append(differences, 0.0))
    made_up = int(np.flatnonzero(ordered == 0)[0])
    # of each patient, with how many others the sum of the two differences is below or within the region
    below = np.searchsorted(ordered, -2 * rope - ordered, side="left")
    within = np.searchsorted(ordered, 2 * rope - ordered, side="right")
    wins = np.zeros(3)
    block = max(1, _CELLS // len(ordered))
    for first in range(0, draws, block):
        count = min(block, draws - first)
        # (patients, draws), so that a patient's draws lie side by side
        weights = generator.standard_exponential((len(ordered), count))
        weights[made_up] = generator.standard_gamma(_PRIOR, count)
        weights /= weights.sum(0)
        total = np.pad(np.cumsum(weights, axis=0), ((1, 0), (0, 0)))
        worse = np.einsum("pd,pd->d", weights, total[below])
        same = np.einsum("pd,pd->d", weights, total[within]) - worse
        wins += np.bincount(np.stack([1 - worse - same, same, worse]).argmax(0), minlength=3)
    return Rope(*(wins / draws).tolist())
