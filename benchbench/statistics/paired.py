"""Comparison of two models on the same patients: the size of their difference and whether it could be chance."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import stats

from benchbench.images.arrays import Floats
from benchbench.statistics.bootstrap import DRAWS
from benchbench.statistics.intervals import FEWEST, Interval, Unknown, mean_interval, standard_error, t_quantile
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

ALPHA, POWER = 0.05, 0.8
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
    p_wilcoxon: float | Unknown
    """Two-sided p of the signed-rank test over patients."""
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
    """p_wilcoxon, adjusted for the family of comparisons; a single comparison is a family of its own."""
    family_size: int = 1
    """Number of comparisons in the family that p_holm is adjusted for."""

    @property
    def better(self) -> str:
        """The model with the better mean; '' if the means are equal."""
        if round(self.difference, EQUAL_DIGITS) == 0:
            return ""
        return self.first if (self.difference < 0) == self.is_lower_better else self.second

    @property
    def is_separable(self) -> bool:
        """True if the interval, the adjusted test and the test over folds all show a difference."""
        if isinstance(self.interval, Unknown) or self.interval.spans_zero:
            return False
        return all(not isinstance(p, Unknown) and p < ALPHA for p in (self.p_holm, self.p_folds))


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
    gap = _differences(pair)
    p_wilcoxon = wilcoxon(values)
    towards_first = -values if panel.is_lower_better else values
    return Comparison(
        first=first,
        second=second,
        n=len(values),
        folds=pair.n_folds,
        difference=float(gap.means[0]),
        interval=mean_interval(gap, draws=draws, seed=seed),
        wins=int((towards_first > 0).sum()),
        ties=int((values == 0).sum()),
        losses=int((towards_first < 0).sum()),
        p_wilcoxon=p_wilcoxon,
        p_permutation=sign_flips(values, flips=draws, seed=seed),
        p_folds=corrected_t(gap.fold_means[0], test_over_train=test_over_train),
        rank_biserial=rank_biserial(towards_first),
        rope=bayesian_signed_rank(towards_first, rope, draws=_ROPE_DRAWS * draws, seed=seed),
        false_claim=probability_of_a_false_claim(values),
        smallest_detectable=smallest_detectable(gap),
        is_lower_better=panel.is_lower_better,
        p_holm=p_wilcoxon,
    )


def patient_differences(pair: Panel) -> Floats:
    """Return first minus second for each patient of a panel of two models; a rounding error is no difference."""
    values: Floats = pair.patient_means[0] - pair.patient_means[1]
    return values.round(EQUAL_DIGITS)


def smallest_detectable(gap: Panel) -> float | Unknown:
    """Return the true difference at which four of five experiments give an interval that excludes 0.

    `gap` is a panel of differences.
    """
    n = len(gap.patients)
    if n < FEWEST:
        return Unknown(f"{are(n, 'patient')} too few; {FEWEST} are the least")
    error, freedom = standard_error(gap)
    errors = t_quantile(freedom) + stats.t.ppf(POWER, freedom)
    return float(errors * error)


def _differences(pair: Panel) -> Panel:
    """Return first minus second as the values of one model."""
    return Panel(
        models=(" - ".join(pair.models),),
        patients=pair.patients,
        folds=pair.folds,
        sums=pair.sums[:1] - pair.sums[1:],
        counts=pair.counts[:1],
        is_lower_better=pair.is_lower_better,
    )
