"""Rules that decide whether two models differ: that of benchbench, its rivals, and an oracle."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import stats
from simulate_worlds import Floats, Sample, World

from benchbench.statistics.noise import Noise, half_width, measure_noise, p_values

ALPHA = 0.05
"""Nominal error of each rule."""
ASSUMED_SD = 0.02
"""SD of the noise of training that is assumed for a single split."""
_DRAWS = 300  # of a bootstrap


class Outcome(NamedTuple):
    """p-values and half widths of a rule, one for each experiment."""

    p_of: Callable[[Floats], Floats]
    """Returns the two-sided p of each distance between a mean and the value that is tested."""
    half_widths: Floats | None
    """None for a rule without an interval."""


Rule = Callable[[Sample, World], Outcome]


def _noise(sample: Sample) -> Noise:
    return measure_noise(sample.values, sample.folds, assumed_sd=ASSUMED_SD)


def benchbench(sample: Sample, _: World) -> Outcome:
    noise = _noise(sample)
    return Outcome(lambda distances: p_values(noise, distances), half_width(noise, ALPHA))


def _student(error: Floats, freedom: Floats | int) -> Outcome:
    def p_of(distances: Floats) -> Floats:
        return 2 * stats.t.sf(np.abs(distances) / error, freedom)

    return Outcome(p_of, stats.t.isf(ALPHA / 2, freedom) * error)


def oracle(sample: Sample, _: World) -> Outcome:
    return _student(np.full(len(sample.means), sample.error), 10**9)


def over_patients(sample: Sample, world: World) -> Outcome:
    of_patients = sample.values.mean(axis=1)
    return _student(of_patients.std(axis=1, ddof=1) / math.sqrt(world.patients), world.patients - 1)


def _fold_means(sample: Sample) -> Floats:
    sizes = np.bincount(sample.folds)
    starts = np.cumsum(sizes) - sizes
    return np.add.reduceat(sample.values.mean(axis=1), starts, axis=1) / sizes


def over_folds(sample: Sample, world: World) -> Outcome:
    if world.folds == 1:
        return over_patients(sample, world)
    return _student(_fold_means(sample).std(axis=1, ddof=1) / math.sqrt(world.folds), world.folds - 1)


def reml(sample: Sample, world: World) -> Outcome:
    """Return the mixed model of patients and folds: where the variance between folds is estimated as 0, pooled."""
    noise = _noise(sample)
    if world.folds == 1:
        return over_patients(sample, world)
    pooled, folds = noise.over_patients, replace(noise, correlation=0.0).over_folds
    is_zero = noise.folds < noise.patients + np.maximum(noise.seeds, 0)
    variance = np.where(is_zero, pooled.variance, folds.variance)
    return _student(np.sqrt(variance), np.where(is_zero, pooled.freedom, folds.freedom))


def wilcoxon(sample: Sample, _: World) -> Outcome:
    of_patients = sample.values.mean(axis=1)

    def p_of(distances: Floats) -> Floats:
        moved = of_patients + (distances - sample.means)[:, None]
        return np.asarray(stats.wilcoxon(moved, axis=1, zero_method="pratt", method="approx").pvalue)

    return Outcome(p_of, None)


def old(sample: Sample, world: World) -> Outcome:
    """Return the rule before: interval over folds, signed-rank test and corrected test over folds must agree."""
    means = _fold_means(sample)
    of_ranks, of_folds = wilcoxon(sample, world), over_folds(sample, world)
    if world.folds == 1:
        return Outcome(lambda distances: np.ones(len(distances)), of_folds.half_widths)
    corrected = math.sqrt(1 / world.folds + 1 / (world.folds - 1) / 0.8)
    of_correction = _student(means.std(axis=1, ddof=1) * corrected, world.folds - 1)
    interval = of_folds if world.folds > 2 else over_patients(sample, world)

    def p_of(distances: Floats) -> Floats:
        parts = [outcome.p_of(distances) for outcome in (of_ranks, interval, of_correction)]
        return np.max(parts, axis=0)

    return Outcome(p_of, interval.half_widths)


def bootstrap(sample: Sample, world: World) -> Outcome:
    """Return percentiles of the means of folds, and of patients within them, drawn with replacement."""
    generator = np.random.default_rng(0)
    of_patients = sample.values.mean(axis=1)
    starts = np.searchsorted(sample.folds, np.arange(world.folds))
    sizes = np.bincount(sample.folds)
    weights = np.zeros((_DRAWS, world.patients))
    for row in range(_DRAWS):
        for fold in generator.integers(world.folds, size=world.folds):
            drawn_patients = starts[fold] + generator.integers(sizes[fold], size=sizes[fold])
            weights[row] += np.bincount(drawn_patients, minlength=world.patients)
    drawn = of_patients @ (weights / weights.sum(axis=1, keepdims=True)).T
    errors = drawn.std(axis=1, ddof=1)
    widths = np.diff(np.quantile(drawn, [ALPHA / 2, 1 - ALPHA / 2], axis=1), axis=0)[0] / 2
    scale = widths / stats.norm.isf(ALPHA / 2)
    scale = np.where(errors > 0, scale, 1e-12)
    return Outcome(lambda distances: 2 * stats.norm.sf(np.abs(distances) / scale), widths)


RULES: Mapping[str, Rule] = {
    "old": old,
    "Wilcoxon": wilcoxon,
    "patients": over_patients,
    "folds": over_folds,
    "bootstrap": bootstrap,
    "REML": reml,
    "benchbench": benchbench,
    "oracle": oracle,
}
