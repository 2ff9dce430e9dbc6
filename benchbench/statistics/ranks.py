"""How far the order of models can be believed: would other patients and other folds have given the same?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchbench.images.arrays import Floats
from benchbench.statistics.bootstrap import DRAWS, resampled_means
from benchbench.statistics.intervals import FEWEST, LEVEL, Unknown
from benchbench.statistics.panel import Panel


@dataclass(frozen=True, kw_only=True)
class RankStability:
    """The ranks of M models over resampled folds and patients."""

    models: tuple[str, ...]
    """From the best mean."""
    ranks: tuple[int, ...]
    """By the means as they are; equal means share the better rank."""
    shares: Floats
    """(M, M) how often each model had each rank, from 1."""
    low: tuple[int, ...]
    high: tuple[int, ...]
    """Between which ranks a model was in 95 of 100 draws."""
    p_same_winner: float
    """How often the first was first."""
    tau: tuple[float, float, float]
    """Kendall's tau-b between the order as it is and a resampled one: 2.5 %, median, 97.5 %."""


def rank_stability(panel: Panel, *, draws: int = DRAWS, seed: int = 0) -> RankStability | Unknown:
    """How the order changes when folds and patients are drawn anew, all models on the same."""
    if len(panel.patients) < FEWEST:
        return Unknown(f"{len(panel.patients)} patients are too few to resample; {FEWEST} are the least")
    if len(panel.models) < 2:
        return Unknown("one model has no order")
    towards_best = 1 if panel.is_lower_better else -1
    means = panel.means * towards_best
    order = np.lexsort((np.array(panel.models), means))
    drawn = resampled_means(panel, draws=draws, seed=seed)[:, order] * towards_best
    ranks = stats.rankdata(drawn, method="min", axis=1).astype(np.int64)
    shares = np.stack([(ranks == rank).mean(0) for rank in range(1, len(order) + 1)], axis=1)
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(ranks, ends, axis=0, method="inverted_cdf")
    taus = tau_b(drawn, means[order])
    return RankStability(
        models=tuple(panel.models[at] for at in order),
        ranks=tuple(stats.rankdata(means[order], method="min").astype(int).tolist()),
        shares=shares,
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        p_same_winner=float((ranks[:, 0] == 1).mean()),
        tau=tuple(np.quantile(taus, [ends[0], 0.5, ends[1]]).tolist()),
    )


def leave_one_out(scores: Floats, *, is_lower_better: bool = False) -> Floats:
    """(K,) Kendall's tau-b between the mean ranks over all K rows of (K, M) and over all but one.

    Rows are folds, or metrics of one direction: does the order hang on one of them?
    """
    ranks = stats.rankdata(scores if is_lower_better else -scores, axis=1)
    without = (ranks.sum(0) - ranks) / (len(ranks) - 1)
    return tau_b(without, ranks.mean(0))


def tau_b(many: Floats, one: Floats) -> Floats:
    """Kendall's tau-b of each row with `one`, row by row; 0 where a row does not order anything.

    Source: Kendall 1945.
    """
    left, right = np.triu_indices(len(one), k=1)
    signs, sign = np.sign(many[:, left] - many[:, right]), np.sign(one[left] - one[right])
    orders = np.sqrt(np.abs(signs).sum(1) * np.abs(sign).sum())
    tau: Floats = np.divide(signs @ sign, orders, out=np.zeros(len(many)), where=orders > 0)
    return tau
