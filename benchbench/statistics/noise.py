"""The noise of a mean over patients of several folds and seeds: its components, its interval and its test.

A value of patient i in fold f under seed s is mean + patient(i) + fold(f) + training(f, s) + rest. Patients are
nested in folds; within a fold they are crossed with the seeds. The components are estimated from the mean squares
of the analysis of variance. Where folds are equally large, they are those of a mixed model by restricted maximum
likelihood. All functions work on one experiment or on arrays of many experiments.

Source: Searle, Casella and McCulloch 1992, Variance Components, chapter 4; degrees of freedom as in Satterthwaite
1946, doi:10.2307/3002019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

from benchbench.images.arrays import Floats, Integers
from benchbench.statistics.pooling import fold_correlation, inflation, pooling_level, pooling_limit

_CAUTION = 1.5  # SD of the noise of two folds, in units of that assumed for one
_RARE = 6.6  # a difference between two folds that has a probability of 1 %, in variances
_TINY = 1e-30  # variance of values that are all equal; keeps ratios finite


class Design(NamedTuple):
    """The size of an experiment."""

    patients: int
    folds: int
    seeds: int
    balance: float = 1.0
    """Factor of the noise of folds in the variance of the mean; more than 1 where folds are unequal."""

    @property
    def trainings(self) -> int:
        """Number of trainings of a model."""
        return self.folds * self.seeds


class Estimate(NamedTuple):
    """The variance of a mean by one way to estimate it, and its degrees of freedom."""

    variance: Floats
    freedom: Floats | int


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The mean squares of an experiment, each in units of the variance of a patient's mean over seeds."""

    design: Design
    patients: Floats
    """Mean square between patients of a fold."""
    folds: Floats
    """Mean square between folds; that of patients where there is one fold."""
    seeds: Floats
    """Mean square between the seeds of a fold less that of the rest; 0 where there is one seed."""
    rest: Floats
    """Mean square of what remains; 0 where there is one seed."""
    assumed_sd: float = 0.0
    """SD of the noise of training that is assumed for a single split, which cannot show it."""
    correlation: float = 0.0
    """Correlation of the noise of training of two folds."""

    @property
    def over_patients(self) -> Estimate:
        """The variance without noise of training."""
        n, folds = self.design.patients, self.design.folds
        pooled = ((n - folds) * self.patients + (folds - 1) * self.folds) / (n - 1)
        return Estimate(np.maximum(pooled, _TINY) / n, n - 1)

    @property
    def over_trainings(self) -> Estimate:
        """The variance if all trainings differ equally, whether in fold or in seed."""
        base = np.maximum(self.patients, _TINY)
        total = base + np.maximum(self._training_excess, 0) * self.design.balance
        return Estimate(total / self.design.patients, self.design.trainings - 1)

    @property
    def over_folds(self) -> Estimate:
        """The variance if folds differ by more than their seeds."""
        base = self._within_folds
        excess = np.maximum(self.folds - base, 0) * self.design.balance
        total = base + inflation(self.design.folds, self.correlation) * excess
        return Estimate(total / self.design.patients, self.design.folds - 1)

    @property
    def over_one_split(self) -> Estimate:
        """The variance over a single split: the noise of its choice of training patients is assumed."""
        n, seeds = self.design.patients, self.design.seeds
        of_patients = np.maximum(self.patients, _TINY) / n
        of_seeds = np.maximum(self.seeds, 0) / n
        total = of_patients + of_seeds + self.assumed_sd**2
        uncertainty = np.square(of_patients) / (n - 1) + np.square(of_seeds) / max(seeds - 1, 1)
        return Estimate(total, np.square(total) / uncertainty)

    @property
    def over_two_folds(self) -> Estimate:
        """The variance of two folds, which say little about their noise, with a cautious assumption about it.

        It is infinite where the two differ by more than the assumption allows, or where there is none.
        """
        n = self.design.patients
        of_training = (_CAUTION * self.assumed_sd) ** 2
        base = self._within_folds
        total = base / n + of_training / 2
        is_possible = self.folds <= _RARE * (base + n / 2 * of_training)
        variance = np.where(is_possible & (of_training > 0), total, np.inf)
        return Estimate(variance, (n - 2) * np.square(total * n / base))

    @property
    def fold_ratio(self) -> Floats:
        """Variance between folds in units of that which patients and seeds explain."""
        ratio: Floats = self.folds / self._within_folds
        return ratio

    @property
    def training_ratio(self) -> Floats:
        """Variance between trainings in units of that between patients."""
        ratio: Floats = 1 + self._training_excess / np.maximum(self.patients, _TINY)
        return ratio

    @property
    def _within_folds(self) -> Floats:
        total: Floats = np.maximum(self.patients, _TINY) + np.maximum(self.seeds, 0)
        return total

    @property
    def _training_excess(self) -> Floats:
        folds, trainings = self.design.folds, self.design.trainings
        of_folds = (folds - 1) * (self.folds - self.patients)
        of_seeds = (trainings - folds) * self.seeds
        excess: Floats = (of_folds + of_seeds) / max(trainings - 1, 1)
        return excess


def p_values(noise: Noise, distance: Floats) -> Floats:
    """Return the two-sided p of a distance between the mean and the value that is tested.

    It is the smallest level at which `half_width` is below the distance.
    """
    design = noise.design
    if not _has_folds(design):
        return _p(_without_folds(noise), distance)
    allowed = pooling_level(design.trainings - 1, noise.training_ratio, _correlation_of_trainings(noise))
    p = np.maximum(_p(noise.over_patients, distance), allowed)
    if design.seeds > 1:
        p = np.minimum(p, _p(noise.over_trainings, distance))
        p = np.maximum(p, pooling_level(design.folds - 1, noise.fold_ratio, noise.correlation))
    p = np.minimum(p, _p(noise.over_folds, distance))
    if design.folds == 2:
        p = np.minimum(p, _p(noise.over_two_folds, distance))
    return p


def half_width(noise: Noise, level: float) -> Floats:
    """Return half the width of the interval that contains the true mean with the probability 1 - level."""
    design = noise.design
    if not _has_folds(design):
        return _width(_without_folds(noise), level)
    limit = pooling_limit(design.trainings - 1, level, _correlation_of_trainings(noise))
    without_noise = _width(noise.over_patients, level)
    over_folds = _width(noise.over_folds, level)
    if design.folds == 2:
        over_folds = np.minimum(over_folds, _width(noise.over_two_folds, level))
    if design.seeds == 1:
        return np.where(noise.training_ratio < limit, without_noise, over_folds)
    width = np.where(noise.training_ratio < limit, without_noise, _width(noise.over_trainings, level))
    limit = pooling_limit(design.folds - 1, level, noise.correlation)
    return np.where(noise.fold_ratio < limit, np.minimum(width, over_folds), over_folds)


def measure_noise(values: Floats, folds: Integers, *, assumed_sd: float = 0.0) -> Noise:
    """Return the noise of values (..., seeds, patients), whose folds (patients,) are numbered from 0 in order."""
    n_seeds, n_patients = values.shape[-2:]
    sizes = np.bincount(folds)
    n_folds, starts = len(sizes), np.cumsum(sizes) - sizes
    fold_of_seed = np.add.reduceat(values, starts, axis=-1) / sizes
    of_patient = values.mean(axis=-2)
    of_fold = fold_of_seed.mean(axis=-2)
    mean = of_patient.mean(axis=-1)
    within = of_patient - of_fold[..., folds]
    between = of_fold - mean[..., None]
    freedom = n_patients - n_folds
    of_patients = np.square(within).sum(axis=-1) / max(freedom, 1)
    of_folds = of_patients
    if n_folds > 1:
        of_folds = (sizes * np.square(between)).sum(axis=-1) / (n_folds - 1)
    if freedom == 0:
        of_patients = of_folds
    seeds, rest = np.zeros_like(mean), np.zeros_like(mean)
    if n_seeds > 1:
        of_seed = fold_of_seed - of_fold[..., None, :]
        remainder = values - of_patient[..., None, :] - of_seed[..., folds]
        rest = np.square(remainder).sum(axis=(-1, -2)) / max(freedom * (n_seeds - 1), 1) / n_seeds
        total = (sizes * np.square(of_seed)).sum(axis=(-1, -2))
        seeds = total / (n_folds * (n_seeds - 1)) / n_seeds - rest
    design = Design(n_patients, n_folds, n_seeds, _balance(sizes))
    return Noise(
        design=design,
        patients=of_patients,
        folds=of_folds,
        seeds=seeds,
        rest=rest,
        assumed_sd=assumed_sd,
        correlation=fold_correlation(n_folds),
    )


class Components(NamedTuple):
    """Standard deviations of the parts of a value; unknown parts are nan."""

    patients: float
    """SD between patients, without that of the rest."""
    folds: float
    """SD between folds, without that of their seeds; with a single seed, that of both."""
    seeds: float
    """SD between trainings of a fold."""
    rest: float
    """SD of what no other part explains; with a single seed it is in that of the patients."""


def components(noise: Noise) -> Components:
    """Return the components of one experiment; an estimate below 0 is 0."""
    design = noise.design
    size = design.patients / design.folds
    has_seeds = design.seeds > 1
    of_patients = float(noise.patients - noise.rest) if has_seeds else float(noise.patients)
    of_seeds = float(noise.seeds) * design.seeds / size if has_seeds else np.nan
    of_folds = np.nan
    if _has_folds(design):
        within = float(noise.patients) + max(float(noise.seeds), 0.0)
        of_folds = (float(noise.folds) - within) / size * design.balance
    of_rest = float(noise.rest) * design.seeds if has_seeds else np.nan
    return Components(*(_root(variance) for variance in (of_patients, of_folds, of_seeds, of_rest)))


def _root(variance: float) -> float:
    return float(np.sqrt(np.maximum(variance, 0)))


def _has_folds(design: Design) -> bool:
    """Return True if the noise of folds can be distinguished from that of patients."""
    return 1 < design.folds < design.patients


def _without_folds(noise: Noise) -> Estimate:
    """Return the estimate of one split, or of folds of one patient, whose noise is in that of the patients."""
    if noise.design.folds > 1:
        return noise.over_patients
    return noise.over_one_split


def _correlation_of_trainings(noise: Noise) -> float:
    return noise.correlation if noise.design.seeds == 1 else 0.0


def _balance(sizes: Integers) -> float:
    """Return the factor by which unequal folds increase the share of their noise in the variance of the mean."""
    if len(sizes) == 1:
        return 1.0
    n = sizes.sum()
    squares = np.square(sizes).sum() / n
    expected = (n - squares) / (len(sizes) - 1)
    return float(squares / expected)


def _p(estimate: Estimate, distance: Floats) -> Floats:
    p: Floats = 2 * special.stdtr(estimate.freedom, -np.abs(distance) / np.sqrt(estimate.variance))
    return p


def _width(estimate: Estimate, level: float) -> Floats:
    width: Floats = -special.stdtrit(estimate.freedom, level / 2) * np.sqrt(estimate.variance)
    return width
