"""Stability of the order of models: whether other patients and other folds would give the same order.

The ranks are SciPy's; Kendall's tau is written here because SciPy computes it for one pair of rankings at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchbench.images.arrays import Floats
from benchbench.statistics.bootstrap import DRAWS, resampled_means
from benchbench.statistics.intervals import FEWEST, TAILS, Unknown
from benchbench.statistics.panel import EQUAL_DIGITS, Panel
from benchbench.words import are


@dataclass(frozen=True, kw_only=True)
class RankStability:
    """The ranks of M models over resampled folds and patients."""

    models: tuple[str, ...]
    """The models from the best mean to the worst."""
    ranks: tuple[int, ...]
    """Ranks by the observed means; equal means share the better rank."""
    shares: Floats
    """(M, M) how often each model had each rank, from rank 1."""
    low: tuple[int, ...]
    """Lower ends of the 95 % intervals of the ranks."""
    high: tuple[int, ...]
    """Upper ends of the 95 % intervals of the ranks."""
    p_same_winner: float
    """Fraction of the draws in which the first model was first."""
    tau: tuple[float, float, float]
    """Kendall's tau-b between the observed order and a resampled one: 2.5 %, median, 97.5 %."""


def rank_stability(panel: Panel, *, draws: int = DRAWS, seed: int = 0) -> RankStability | Unknown:
    """Return how the order changes with resampled folds and patients, the same for all models."""
    if len(panel.patients) < FEWEST:
        return Unknown(f"{are(len(panel.patients), 'patient')} too few to resample; {FEWEST} are the least")
    if len(panel.models) < 2:
        return Unknown("one model has no order")
    towards_best = 1 if panel.is_lower_better else -1
    means = (panel.means * towards_best).round(EQUAL_DIGITS)
    order = np.lexsort((np.array(panel.models), means))
    means = means[order]
    drawn = resampled_means(panel, draws=draws, seed=seed)[:, order] * towards_best
    drawn = drawn.round(EQUAL_DIGITS)
    observed = stats.rankdata(means, method="min").astype(int)
    ranks = stats.rankdata(drawn, method="min", axis=1).astype(np.int64)
    shares = [(ranks == rank).mean(0) for rank in range(1, len(order) + 1)]
    low, high = np.quantile(ranks, TAILS, axis=0, method="inverted_cdf")
    taus = np.quantile(tau_b(drawn, means), [TAILS[0], 0.5, TAILS[1]])
    return RankStability(
        models=tuple(panel.models[place] for place in order),
        ranks=tuple(observed.tolist()),
        shares=np.stack(shares, axis=1),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        p_same_winner=float((ranks[:, 0] == 1).mean()),
        tau=tuple(taus.tolist()),
    )


def leave_one_out(scores: Floats, *, is_lower_better: bool = False) -> Floats:
    """Return (K,) Kendall's tau-b between the mean ranks over all K rows of (K, M) scores and over all except one.

    The rows are folds, or metrics of one direction; a low value means that the order depends on one of them.
    """
    towards_best = scores if is_lower_better else -scores
    ranks = stats.rankdata(towards_best.round(EQUAL_DIGITS), axis=1)
    without = (ranks.sum(0) - ranks) / (len(ranks) - 1)
    return tau_b(without, ranks.mean(0))


def tau_b(many: Floats, one: Floats) -> Floats:
    """Return Kendall's tau-b of each row of `many` with `one`; 0 if all values of a row are equal.

    Source: Kendall 1945.
    """
    left, right = np.triu_indices(len(one), k=1)
    signs = np.sign(many[:, left] - many[:, right])
    sign = np.sign(one[left] - one[right])
    untied = np.abs(signs).sum(1) * np.abs(sign).sum()
    scale = np.sqrt(untied)
    tau: Floats = np.divide(signs @ sign, scale, out=np.zeros(len(many)), where=scale > 0)
    return tau
