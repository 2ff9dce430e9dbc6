"""Statistics of scores beyond their means: intervals, tests and ranks, or the reason why there is none.

Everything is computed from a `Panel` of per-case values, is reproducible by its seed, and reads no file. The unit
is the patient. A model is called better than another if the difference is larger than its noise, that of patients
and of training, at a level adjusted for all comparisons of the family.
"""

from benchbench.statistics.bootstrap import DRAWS, resampled_means
from benchbench.statistics.detectable import detectable_difference, needed_designs
from benchbench.statistics.family import (
    Friedman,
    RankInterval,
    adjust,
    compare_all,
    family_of,
    friedman,
    holm,
    rank_intervals,
)
from benchbench.statistics.intervals import (
    Interval,
    Unknown,
    join_warnings,
    mean_interval,
    median_interval,
    standard_error,
)
from benchbench.statistics.noise import Components, Design, Noise, components, measure_noise
from benchbench.statistics.paired import ASSUMED_NOISE, FEWEST_PATIENTS, Comparison, PairTest, compare, quick_test
from benchbench.statistics.paired_tests import (
    corrected_t,
    p_from_folds,
    p_from_printed,
    probability_of_a_false_claim,
    rank_biserial,
    sign_flips,
    wilcoxon,
)
from benchbench.statistics.panel import EQUAL_DIGITS, Panel, make_panel
from benchbench.statistics.ranks import leave_one_out, tau_b
from benchbench.statistics.rope import Rope, bayesian_signed_rank

__all__ = [
    "ASSUMED_NOISE",
    "DRAWS",
    "EQUAL_DIGITS",
    "FEWEST_PATIENTS",
    "Comparison",
    "Components",
    "Design",
    "Friedman",
    "Interval",
    "Noise",
    "PairTest",
    "Panel",
    "RankInterval",
    "Rope",
    "Unknown",
    "adjust",
    "bayesian_signed_rank",
    "compare",
    "compare_all",
    "components",
    "corrected_t",
    "detectable_difference",
    "family_of",
    "friedman",
    "holm",
    "join_warnings",
    "leave_one_out",
    "make_panel",
    "mean_interval",
    "measure_noise",
    "median_interval",
    "needed_designs",
    "p_from_folds",
    "p_from_printed",
    "probability_of_a_false_claim",
    "quick_test",
    "rank_biserial",
    "rank_intervals",
    "resampled_means",
    "sign_flips",
    "standard_error",
    "tau_b",
    "wilcoxon",
]
