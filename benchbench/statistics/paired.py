"""Comparison of two models on the same patients: the size of their difference and whether it could be chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import numpy as np

from benchbench.images.arrays import Floats
from benchbench.statistics.bootstrap import DRAWS
from benchbench.statistics.detectable import detectable_difference
from benchbench.statistics.intervals import Interval, Unknown, few_warnings
from benchbench.statistics.noise import Components, Design, Noise, components, half_width, measure_noise, p_values
from benchbench.statistics.paired_tests import (
    corrected_t,
    probability_of_a_false_claim,
    rank_biserial,
    sign_flips,
    wilcoxon,
)
from benchbench.statistics.panel import EQUAL_DIGITS, Panel
from benchbench.statistics.rope import Rope, bayesian_signed_rank
from benchbench.words import are

ALPHA = 0.05
FEWEST_PATIENTS = 10
"""Number of patients below which nothing is said about two models."""
ASSUMED_NOISE = 2.0
"""SD of the noise of training that is assumed for a single fold, in units of the difference that matters."""
_ROPE_DRAWS = 5  # for each draw of the bootstrap


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The first model against the second. Differences are first minus second, in the unit of the metric."""

    first: str
    second: str
    n: int
    """Number of patients."""
    folds: int
    """Number of folds."""
    difference: float
    """Mean difference over all cases."""
    interval: Interval | Unknown
    """95 % interval of the mean difference."""
    wins: int
    """Number of patients on whom the first model is better, in the direction of the metric."""
    ties: int
    """Number of patients without a difference."""
    losses: int
    """Number of patients on whom the second model is better."""
    p: float | Unknown
    """Two-sided p of the mean difference, with the noise of patients and of training."""
    p_equivalent: float | Unknown
    """p of two one-sided tests that the difference is smaller than the one that matters."""
    p_first_not_worse: float | Unknown
    """One-sided p that the first model is not worse by a difference that matters."""
    p_second_not_worse: float | Unknown
    """One-sided p that the second model is not worse by a difference that matters."""
    noise: Noise
    """The noise of the mean difference."""
    delta: float
    """The smallest difference that matters."""
    new_patient: Interval | Unknown
    """95 % interval of the probability that the first model is better on a new patient."""
    p_new_patient: float
    """That probability; patients without a difference count half."""
    p_wilcoxon: float | Unknown
    """Two-sided p of the signed-rank test over patients, without the noise of training."""
    p_permutation: float | Unknown
    """Two-sided p of the mean difference under random exchanges of the models."""
    p_folds: float | Unknown
    """Two-sided p of the differences between folds, corrected for training sets that overlap."""
    rank_biserial: float
    """Effect size from -1, every patient worse with the first model, to 1."""
    rope: Rope
    """Probabilities of a practical advantage, of practical equality and of a practical disadvantage."""
    false_claim: float | Unknown
    """Probability that the model with the better mean is not the better one."""
    smallest_detectable: float | Unknown
    """True difference that four of five such experiments would find."""
    is_lower_better: bool
    p_holm: float | Unknown
    """p, adjusted for the family of comparisons; a single comparison is a family of its own."""
    p_holm_equivalent: float | Unknown
    """p_equivalent, adjusted in the same way."""
    family_size: int = 1
    """Number of comparisons in the family that both are adjusted for."""

    @property
    def better(self) -> str:
        """The model with the better mean; '' if the means are equal."""
        if round(self.difference, EQUAL_DIGITS) == 0:
            return ""
        return self.first if (self.difference < 0) == self.is_lower_better else self.second

    @property
    def is_decided(self) -> bool:
        """True if one of the two models is shown to be better."""
        return bool(self.better) and _is_below(self.p_holm)

    @property
    def is_equivalent(self) -> bool:
        """True if the difference is shown to be smaller than the one that matters."""
        return _is_below(self.p_holm_equivalent)

    @property
    def not_worse(self) -> tuple[str, ...]:
        """The models that are shown not to be worse by a difference that matters; one test for each model."""
        both = ((self.first, self.p_first_not_worse), (self.second, self.p_second_not_worse))
        # a family of n pairs has 2 n of these tests, adjusted by Bonferroni
        limit = ALPHA / (2 * self.family_size)
        return tuple(model for model, p in both if not isinstance(p, Unknown) and p < limit)

    @property
    def components(self) -> Components:
        """Standard deviations of the difference between patients, folds and seeds."""
        return components(self.noise)

    @property
    def design(self) -> Design:
        """Numbers of patients, folds and seeds."""
        return self.noise.design


def _is_below(p: float | Unknown) -> bool:
    return not isinstance(p, Unknown) and p < ALPHA


def compare(
    panel: Panel,
    first: str,
    second: str,
    *,
    rope: float,
    test_over_train: float | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Compare two models of a panel.

    `rope` is the largest difference without practical relevance. `test_over_train` is the number of tested
    patients divided by that of training patients in one fold, by default that of folds of which all but one are
    trained on.
    """
    pair = panel.of([first, second])
    values = patient_differences(pair)
    difference = float(pair.means[0] - pair.means[1])
    noise = noise_of_difference(pair, assumed_sd=ASSUMED_NOISE * rope)
    p_wilcoxon = wilcoxon(values)
    towards_first = -values if panel.is_lower_better else values
    tests = _test(noise, difference, rope, is_lower_better=panel.is_lower_better)
    wins, losses = int((towards_first > 0).sum()), int((towards_first < 0).sum())
    p_new_patient = 0.5 + (wins - losses) / (2 * len(values))
    return Comparison(
        first=first,
        second=second,
        n=len(values),
        folds=pair.n_folds,
        difference=difference,
        interval=_interval(noise, difference, values),
        wins=wins,
        ties=len(values) - wins - losses,
        losses=losses,
        **tests,
        noise=noise,
        delta=rope,
        new_patient=_probability_interval(pair, towards_first),
        p_new_patient=p_new_patient,
        p_wilcoxon=p_wilcoxon,
        p_permutation=sign_flips(values, flips=draws, seed=seed),
        p_folds=corrected_t(pair.fold_means[0] - pair.fold_means[1], test_over_train=test_over_train),
        rank_biserial=rank_biserial(towards_first),
        rope=bayesian_signed_rank(towards_first, rope, draws=_ROPE_DRAWS * draws, seed=seed),
        false_claim=probability_of_a_false_claim(values),
        smallest_detectable=_smallest_detectable(noise),
        is_lower_better=panel.is_lower_better,
        p_holm=tests["p"],
        p_holm_equivalent=tests["p_equivalent"],
    )


class PairTest(NamedTuple):
    """The p-values of a pair that is adjusted for, but not compared."""

    p: float | Unknown
    p_equivalent: float | Unknown


def quick_test(panel: Panel, first: str, second: str, *, delta: float) -> PairTest:
    """Return the p-values that `compare` gives, and nothing else."""
    pair = panel.of([first, second])
    noise = noise_of_difference(pair, assumed_sd=ASSUMED_NOISE * delta)
    difference = float(pair.means[0] - pair.means[1])
    tests = _test(noise, difference, delta, is_lower_better=panel.is_lower_better)
    return PairTest(tests["p"], tests["p_equivalent"])


def patient_differences(pair: Panel) -> Floats:
    """Return first minus second for each patient of a panel of two models; a rounding error is no difference."""
    values: Floats = pair.patient_means[0] - pair.patient_means[1]
    return values.round(EQUAL_DIGITS)


def noise_of_difference(pair: Panel, *, assumed_sd: float) -> Noise:
    """Return the noise of the mean difference of a panel of two models.

    A patient with more cases has a larger part in the mean over cases, and in its noise.
    """
    sums = (pair.seed_sums[:, 0] - pair.seed_sums[:, 1]).round(EQUAL_DIGITS)
    counts = pair.counts[0]
    mean = sums.mean(axis=0).sum() / counts.sum()
    parts = (sums - mean * counts) / counts.mean()
    return measure_noise(parts, pair.folds, assumed_sd=assumed_sd)


class _Tests(TypedDict):
    p: float | Unknown
    p_equivalent: float | Unknown
    p_first_not_worse: float | Unknown
    p_second_not_worse: float | Unknown


def _test(noise: Noise, difference: float, delta: float, *, is_lower_better: bool) -> _Tests:
    """Return p of a difference, of equivalence, and of either model not being worse by `delta`.

    Source: two one-sided tests, Schuirmann 1987, doi:10.1007/BF01068419.
    """
    n = noise.design.patients
    if n < FEWEST_PATIENTS:
        reason = Unknown(f"{are(n, 'patient')} too few for a test; {FEWEST_PATIENTS} are the least")
        return _Tests(p=reason, p_equivalent=reason, p_first_not_worse=reason, p_second_not_worse=reason)
    p = float(p_values(noise, np.array(abs(difference))))
    not_lower, not_higher = _one_sided(noise, difference + delta), _one_sided(noise, delta - difference)
    first, second = (not_higher, not_lower) if is_lower_better else (not_lower, not_higher)
    return _Tests(p=p, p_equivalent=max(first, second), p_first_not_worse=first, p_second_not_worse=second)


def _one_sided(noise: Noise, distance: float) -> float:
    """Return p of the hypothesis that the true distance is 0 or less."""
    half = float(p_values(noise, np.array(abs(distance)))) / 2
    return half if distance > 0 else 1 - half


def _interval(noise: Noise, difference: float, values: Floats) -> Interval | Unknown:
    n, folds = noise.design.patients, noise.design.folds
    if n < FEWEST_PATIENTS:
        return Unknown(f"{are(n, 'patient')} too few for an interval; {FEWEST_PATIENTS} are the least")
    width = float(half_width(noise, ALPHA))
    warnings = few_warnings(values)
    if folds == 1:
        warnings.append(f"1 fold: the noise of training is assumed, with an SD of {noise.assumed_sd:g}")
    return Interval(difference - width, difference + width, "; ".join(warnings))


def _probability_interval(pair: Panel, towards_first: Floats) -> Interval | Unknown:
    """Return the score interval of the probability of a win, with fewer patients where folds differ.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953; the number of patients is divided by the ratio of the
    variance of the mean to that of patients alone.
    """
    n = len(towards_first)
    if n < FEWEST_PATIENTS:
        return Unknown(f"{are(n, 'patient')} too few for an interval; {FEWEST_PATIENTS} are the least")
    outcomes = 0.5 + np.sign(towards_first) / 2
    noise = measure_noise(outcomes[None], pair.folds)
    width, simple = float(half_width(noise, ALPHA)), 1.96 * float(outcomes.std()) / np.sqrt(n)
    ratio = max(1.0, (width / simple) ** 2) if simple > 0 else 1.0
    size, share, z = n / ratio, float(outcomes.mean()), 1.96
    centre = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * float(np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2)))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def _smallest_detectable(noise: Noise) -> float | Unknown:
    """Return the true difference that four of five such experiments find."""
    n = noise.design.patients
    if n < FEWEST_PATIENTS:
        return Unknown(f"{are(n, 'patient')} too few; {FEWEST_PATIENTS} are the least")
    return detectable_difference(components(noise), noise.design, assumed_sd=noise.assumed_sd)
