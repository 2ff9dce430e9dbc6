"""Statistics of scores beyond their means: intervals, tests and ranks, or the reason why there is none.

Everything is computed from a `Panel` of per-case values, is reproducible by its seed, and reads no file. The unit
is the patient. A model is called better than another only if three results agree: the interval of the difference,
the signed-rank test adjusted for all comparisons of the family, and the test over folds, which includes the noise
of training.
"""

from benchbench.statistics.bootstrap import DRAWS, resampled_means
from benchbench.statistics.family import Friedman, adjust, compare_all, family_of, friedman, holm, tiers
from benchbench.statistics.intervals import Interval, Unknown, mean_interval, median_interval, standard_error
from benchbench.statistics.paired import Comparison, compare, patient_differences, smallest_detectable
from benchbench.statistics.paired_tests import (
    corrected_t,
    probability_of_a_false_claim,
    rank_biserial,
    sign_flips,
    wilcoxon,
)
from benchbench.statistics.panel import EQUAL_DIGITS, Panel, make_panel
from benchbench.statistics.ranks import RankStability, leave_one_out, rank_stability, tau_b
from benchbench.statistics.rope import Rope, bayesian_signed_rank

__all__ = [
    "DRAWS",
    "EQUAL_DIGITS",
    "Comparison",
    "Friedman",
    "Interval",
    "Panel",
    "RankStability",
    "Rope",
    "Unknown",
    "adjust",
    "bayesian_signed_rank",
    "compare",
    "compare_all",
    "corrected_t",
    "family_of",
    "friedman",
    "holm",
    "leave_one_out",
    "make_panel",
    "mean_interval",
    "median_interval",
    "patient_differences",
    "probability_of_a_false_claim",
    "rank_biserial",
    "rank_stability",
    "resampled_means",
    "sign_flips",
    "smallest_detectable",
    "standard_error",
    "tau_b",
    "tiers",
    "wilcoxon",
]
