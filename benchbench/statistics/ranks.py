"""Agreement of orders of models, such as the orders by all folds and by all except one.

Kendall's tau is written here because SciPy computes it for one pair of rankings at a time.
"""

from __future__ import annotations

import numpy as np
import scipy

from benchbench.images.arrays import Floats
from benchbench.statistics.panel import EQUAL_DIGITS


def leave_one_out(scores: Floats, *, is_lower_better: bool = False) -> Floats:
    """Return (K,) Kendall's tau-b between the mean ranks over all K rows of (K, M) scores and over all except one.

    The rows are folds, or metrics of one direction; a low value means that the order depends on one of them.
    """
    towards_best = scores if is_lower_better else -scores
    ranks = scipy.stats.rankdata(towards_best.round(EQUAL_DIGITS), axis=1)
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
