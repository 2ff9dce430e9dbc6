"""Two models on the same patients: how far apart they are and whether that could be chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchbench.images.arrays import Floats
from benchbench.statistics.bootstrap import DRAWS
from benchbench.statistics.intervals import FEWEST, Interval, Unknown, mean_interval, quantile_of_t, standard_error
from benchbench.statistics.panel import Panel
from benchbench.statistics.rope import Rope, bayesian_signed_rank

ALPHA, POWER = 0.05, 0.8
_EXACT = 25
_FEWEST_PAIRS = 6  # with five, even five wins of five have p = 0.06
_ROPE_DRAWS = 5  # to each of the bootstrap


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The first model against the second. Differences are first minus second, in the metric's own unit."""

    first: str
    second: str
    n: int
    """Patients."""
    folds: int
    difference: float
    """Mean over all cases."""
    interval: Interval | Unknown
    wins: int
    """Patients on whom the first is better, whichever way that is."""
    ties: int
    losses: int
    p_wilcoxon: float | Unknown
    p_permutation: float | Unknown
    p_folds: float | Unknown
    """Of the differences between folds, corrected for training sets that overlap."""
    rank_biserial: float
    """From -1, every patient worse under the first, to 1."""
    rope: Rope
    false_claim: float | Unknown
    """The probability that the model with the better mean is not the better one."""
    smallest_detectable: float | Unknown
    """What difference such an experiment finds four times in five."""
    is_lower_better: bool
    p_holm: float | Unknown
    """The Wilcoxon test's, adjusted for the family of comparisons it belongs to; alone, it is its own family."""

    @property
    def better(self) -> str:
        """The model with the better mean; none where they are equal."""
        if self.difference == 0:
            return ""
        return self.first if (self.difference < 0) == self.is_lower_better else self.second

    @property
    def is_separable(self) -> bool:
        """Whether interval, adjusted test and the test over folds all speak for a difference."""
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
    """The first model against the second.

    `test_over_train` is patients tested over patients trained on, in one fold; by default that of folds of which
    all but one are trained on.
    """
    pair = panel.of([first, second])
    values = pair.patient_means[0] - pair.patient_means[1]
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


def wilcoxon(differences: Floats) -> float | Unknown:
    """Two-sided p of the signed-rank test; patients without a difference are ranked with the others.

    Exact for up to 25 patients without ties, otherwise by the normal distribution. 1 where nothing differs.

    Source: Wilcoxon 1945; zeros as in Pratt 1959.
    """
    if len(differences) < _FEWEST_PAIRS:
        return Unknown(f"{len(differences)} patients are too few for a test; {_FEWEST_PAIRS} are the least")
    if not differences.any():
        return 1.0
    sizes = np.abs(differences)
    is_exact = len(sizes) <= _EXACT and sizes.all() and len(np.unique(sizes)) == len(sizes)
    found = stats.wilcoxon(differences, zero_method="pratt", method="exact" if is_exact else "approx")
    return float(found.pvalue)


def rank_biserial(differences: Floats) -> float:
    """Share of the ranks in favour less the share against; ranks as in the Wilcoxon test.

    Source: Kerby 2014, doi:10.2466/11.IT.3.1.
    """
    ranks = stats.rankdata(np.abs(differences))
    above, below = ranks[differences > 0].sum(), ranks[differences < 0].sum()
    return float((above - below) / (above + below)) if above + below else 0.0


def sign_flips(differences: Floats, *, flips: int = DRAWS, seed: int = 0) -> float | Unknown:
    """Two-sided p of the mean difference if either model could have been the first; every flip if few enough."""
    n = len(differences)
    if n < _FEWEST_PAIRS:
        return Unknown(f"{n} patients are too few for a test; {_FEWEST_PAIRS} are the least")
    if 2**n <= flips:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        added = 0  # the flip that changes nothing is among them
    else:
        signs = 1 - 2 * np.random.default_rng(seed).integers(2, size=(flips, n), dtype=np.int8)
        added = 1
    sums, observed = np.abs(signs @ differences), abs(float(differences.sum()))
    reached = int((sums >= observed * (1 - 1e-9)).sum())
    return (reached + added) / (len(signs) + added)


def corrected_t(differences: Floats, *, test_over_train: float | None = None) -> float | Unknown:
    """Two-sided p of the differences between folds, whose training sets overlap.

    The variance of the mean is taken as (1/J + tested/trained) times that between the J folds. Several seeds of a
    fold are one value, their mean.

    Source: Nadeau and Bengio 2003, doi:10.1023/A:1024068626366.
    """
    count = len(differences)
    if count < 2:
        return Unknown("one fold: the noise of training is not known")
    share = 1 / (count - 1) if test_over_train is None else test_over_train
    error = float(np.sqrt((1 / count + share) * differences.var(ddof=1)))
    mean = float(differences.mean())
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, count - 1))


def probability_of_a_false_claim(differences: Floats) -> float | Unknown:
    """The probability that the model with the better mean over these patients is not better over all.

    Source: Christodoulou et al. 2025, arXiv:2505.04720; the noise of training is not in it.
    """
    n = len(differences)
    if n < FEWEST:
        return Unknown(f"{n} patients are too few; {FEWEST} are the least")
    spread = float(differences.std(ddof=1))
    if spread == 0:
        return 0.0 if differences.any() else 0.5
    return float(stats.t.sf(np.sqrt(n) * abs(differences.mean()) / spread, n - 1))


def smallest_detectable(gap: Panel) -> float | Unknown:
    """The true difference at which an interval like this one leaves out 0 in four experiments of five."""
    if len(gap.patients) < FEWEST:
        return Unknown(f"{len(gap.patients)} patients are too few; {FEWEST} are the least")
    error, freedom = standard_error(gap)
    return float((quantile_of_t(freedom) + stats.t.ppf(POWER, freedom)) * error)


def _differences(pair: Panel) -> Panel:
    """First minus second as the values of one model."""
    return Panel(
        models=(" - ".join(pair.models),),
        patients=pair.patients,
        folds=pair.folds,
        sums=pair.sums[:1] - pair.sums[1:],
        counts=pair.counts[:1],
        is_lower_better=pair.is_lower_better,
    )
