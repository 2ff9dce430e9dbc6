"""Tests and effect sizes of the differences between two models on the same patients or folds.

The signed-rank test is SciPy's. The others are written here because SciPy has none of them except the permutation
test, and the one library that has the corrected t-test, baycomp, is no longer maintained.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from benchbench.images.arrays import Floats
from benchbench.statistics.bootstrap import DRAWS
from benchbench.statistics.intervals import FEWEST, Unknown
from benchbench.words import are

_MOST_EXACT = 25  # patients of an exact test
_FEWEST_PAIRS = 6  # five wins of five have p = 0.06


def wilcoxon(differences: Floats) -> float | Unknown:
    """Return the two-sided p of the signed-rank test; patients without a difference are ranked with the others.

    The test is exact for at most 25 patients without ties, otherwise by the normal distribution. p is 1 if nothing
    differs.

    Source: Wilcoxon 1945; zeros as in Pratt 1959.
    """
    n = len(differences)
    if n < _FEWEST_PAIRS:
        return _too_few_for_test(n)
    if not differences.any():
        return 1.0
    sizes = np.abs(differences)
    has_ties = len(np.unique(sizes)) < n or not sizes.all()
    method = "exact" if n <= _MOST_EXACT and not has_ties else "approx"
    result = scipy.stats.wilcoxon(differences, zero_method="pratt", method=method)
    return float(result.pvalue)


def rank_biserial(differences: Floats) -> float:
    """Return the fraction of the ranks in favour minus the fraction against, ranked as in the Wilcoxon test.

    Source: Kerby 2014, doi:10.2466/11.IT.3.1.
    """
    ranks = scipy.stats.rankdata(np.abs(differences))
    above = ranks[differences > 0].sum()
    below = ranks[differences < 0].sum()
    total = above + below
    return float((above - below) / total) if total else 0.0


def sign_flips(differences: Floats, *, flips: int = DRAWS, seed: int = 0) -> float | Unknown:
    """Return the two-sided p of the mean difference under random exchanges of the two models of each patient.

    All exchanges are tried if there are at most `flips` of them.
    """
    n = len(differences)
    if n < _FEWEST_PAIRS:
        return _too_few_for_test(n)
    if 2**n <= flips:
        signs = _all_signs(n)
        added = 0  # the exchange that changes nothing is among them
    else:
        signs = _random_signs(n, flips, seed)
        added = 1
    sums = np.abs(signs @ differences)
    observed = abs(float(differences.sum())) * (1 - 1e-9)  # rounding must not separate equal sums
    reached = int((sums >= observed).sum())
    return (reached + added) / (len(signs) + added)


@lru_cache(maxsize=1)
def _random_signs(n: int, flips: int, seed: int) -> NDArray[np.signedinteger[Any]]:
    """Return (flips, n) random signs; the pairs of a board share them."""
    bits = np.random.default_rng(seed).integers(2, size=(flips, n), dtype=np.int8)
    return 1 - 2 * bits


def _all_signs(n: int) -> NDArray[np.signedinteger[Any]]:
    """Return (2^n, n) all combinations of 1 and -1."""
    numbers = np.arange(2**n)[:, None]
    bits = numbers >> np.arange(n) & 1
    return 1 - 2 * bits


def _too_few_for_test(n: int) -> Unknown:
    return Unknown(f"{are(n, 'patient')} too few for a test; {_FEWEST_PAIRS} are the least")


def corrected_t(differences: Floats, *, test_over_train: float | None = None) -> float | Unknown:
    """Return the two-sided p of the differences between folds, corrected for training sets that overlap.

    The variance of the mean is (1/J + tested/trained) times that between the J folds, where `test_over_train` is
    tested/trained, by default that of folds of which all but one are trained on. Several seeds of a fold count as
    one value, their mean.

    Source: Nadeau and Bengio 2003, doi:10.1023/A:1024068626366.
    """
    count = len(differences)
    if count < 2:
        return Unknown("one fold: the noise of training is not known")
    ratio = 1 / (count - 1) if test_over_train is None else test_over_train
    variance = (1 / count + ratio) * differences.var(ddof=1)
    error = float(np.sqrt(variance))
    mean = float(differences.mean())
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * scipy.stats.t.sf(abs(mean) / error, count - 1))


def probability_of_a_false_claim(differences: Floats) -> float | Unknown:
    """Return the probability that the model with the better mean over these patients is not better over all.

    Source: Christodoulou et al. 2025, arXiv:2505.04720; the noise of training is not included.
    """
    n = len(differences)
    if n < FEWEST:
        return Unknown(f"{are(n, 'patient')} too few; {FEWEST} are the least")
    spread = float(differences.std(ddof=1))
    if spread == 0:
        return 0.0 if differences.any() else 0.5
    t = np.sqrt(n) * abs(differences.mean()) / spread
    return float(scipy.stats.t.sf(t, n - 1))


def p_from_printed(difference: float, sds: tuple[float, float], *, n: int, correlation: float) -> float:
    """Return the probability that the better of two printed means is not the better one.

    `difference` is positive in favour of the better one; `sds` are the SD of both over n patients.

    Source: Christodoulou et al. 2025, arXiv:2505.04720.
    """
    first, second = sds
    variance = first**2 + second**2 - 2 * first * second * correlation
    if variance <= 0:
        return 0.0 if difference > 0 else 0.5
    t = np.sqrt(n) * difference / np.sqrt(variance)
    one_sided = scipy.stats.t.sf(t, n - 1)
    return float(one_sided)


def p_from_folds(differences: Floats) -> float:
    """Return the probability that the model with the better mean over folds is not the better one."""
    p = corrected_t(differences)
    return float("nan") if isinstance(p, Unknown) else p / 2
