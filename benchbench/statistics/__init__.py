"""What can be said of scores beyond their means: intervals, tests, ranks; or why nothing can.

Everything is computed from a `Panel` of per-case values, is the same for the same seed, and reads no file. The
unit is the patient. A model is called better than another if three things agree: the interval of the difference,
the signed-rank test adjusted for all that was asked, and the test over folds, in which the noise of training is.
"""

from benchbench.statistics.bootstrap import DRAWS, resampled_means
from benchbench.statistics.family import Friedman, compare_all, compare_pairs, family_of, friedman, holm, tiers
from benchbench.statistics.intervals import Interval, Unknown, mean_interval, median_interval, standard_error
from benchbench.statistics.paired import (
    Comparison,
    compare,
    corrected_t,
    probability_of_a_false_claim,
    rank_biserial,
    sign_flips,
    smallest_detectable,
    wilcoxon,
)
from benchbench.statistics.panel import Panel, make_panel
from benchbench.statistics.ranks import RankStability, leave_one_out, rank_stability, tau_b
from benchbench.statistics.rope import Rope, bayesian_signed_rank

__all__ = [
    "DRAWS",
    "Comparison",
    "Friedman",
    "Interval",
    "Panel",
    "RankStability",
    "Rope",
    "Unknown",
    "bayesian_signed_rank",
    "compare",
    "compare_all",
    "compare_pairs",
    "corrected_t",
    "family_of",
    "friedman",
    "holm",
    "leave_one_out",
    "make_panel",
    "mean_interval",
    "median_interval",
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
