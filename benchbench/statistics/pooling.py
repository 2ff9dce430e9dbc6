"""The level at which folds may be pooled with patients: how large the variance between folds may be for it.

With few folds, a test over folds alone has few degrees of freedom and finds little; a test over patients alone
finds differences that are noise of training. The rule between them uses the patients where the variance between
folds is below a limit, and the folds elsewhere. A limit too high makes false claims, one too low loses power. The
limit is therefore computed: it is the highest at which the error stays below 1.18 times the level, whatever the
true noise.

Source: the pooling of mean squares after a preliminary test, Bozivich, Bancroft and Hartley 1956,
doi:10.1214/aoms/1177728173.
Differs: the limit depends on the level of the main test, which keeps small levels valid, too.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import special

from benchbench.images.arrays import Floats

_OVERLAP = 0.2  # assumed correlation in units of that of Nadeau and Bengio, which is 1 / folds
_EXCESS = 1.18  # largest error, in units of the level
_LEVELS = (1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.2, 0.5)
_NOISES = np.concatenate([[0.0], np.geomspace(0.1, 400, 16)])  # variance of folds in units of that of patients
_QUANTILES = (np.arange(120) + 0.5) / 120
_STEPS = 14


def fold_correlation(folds: int) -> float:
    """Return the assumed correlation of the noise of training of two folds, whose training sets overlap.

    Source: Nadeau and Bengio 2003, doi:10.1023/A:1024068626366.
    Differs: a fifth of their value 1 / folds. Differences of two small U-Nets on real patients were correlated by
    0.01, at most 0.05, with five folds: what a training set does to both cancels.
    """
    return _OVERLAP / folds


def inflation(folds: int, correlation: float) -> float:
    """Return the variance of a mean over correlated folds in units of the variance that the folds show."""
    return 1 + folds * correlation / (1 - correlation)


def pooling_limit(freedom: int, level: float, correlation: float) -> float:
    """Return the ratio of mean squares, folds to patients, below which a test of this level pools folds."""
    return _find_limit(freedom, level, correlation)


def pooling_level(freedom: int, ratios: Floats, correlation: float) -> Floats:
    """Return for each ratio of mean squares the smallest level of a test that may pool folds with patients.

    The level is infinite where the ratio is above the limit of every level.
    """
    levels, limits = _limits(freedom, correlation)
    known = np.interp(ratios, limits, np.log(levels), left=-np.inf, right=np.inf)
    result: Floats = np.exp(known)
    return result


@lru_cache(maxsize=64)
def _limits(freedom: int, correlation: float) -> tuple[Floats, Floats]:
    """Return levels, from the smallest, and the limit of each."""
    limits = [_find_limit(freedom, level, correlation) for level in _LEVELS]
    increasing: Floats = np.maximum.accumulate(limits) + 1e-9 * np.arange(len(limits))
    return np.array(_LEVELS), increasing


@lru_cache(maxsize=4096)
def _find_limit(freedom: int, level: float, correlation: float) -> float:
    low, high = 1e-6, 10.0
    allowed = max(_EXCESS * level, 1.02 * _largest_error(freedom, level, 0.0, correlation))
    for _ in range(_STEPS):
        middle = float(np.sqrt(low * high))
        if _largest_error(freedom, level, middle, correlation) <= allowed:
            low = middle
        else:
            high = middle
    return low


def _largest_error(freedom: int, level: float, limit: float, correlation: float) -> float:
    """Return the largest probability of a false claim over all amounts of noise, for many patients."""
    quantiles = 2 * special.gammaincinv(freedom / 2, _QUANTILES) / freedom  # of the chi-squared distribution
    noise = _NOISES[:, None]
    ratios = quantiles * (1 + noise * (1 - correlation))
    true_variance = 1 + noise * (1 + freedom * correlation)
    excess = inflation(freedom + 1, correlation) * np.maximum(ratios - 1, 0)
    over_folds = -special.stdtrit(freedom, level / 2) * np.sqrt(1 + excess)
    thresholds = np.where(ratios < limit, -special.ndtri(level / 2), over_folds) / np.sqrt(true_variance)
    errors = 2 * special.ndtr(-thresholds)
    return float(errors.mean(axis=1).max())
