from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchbench.errors import IncompatibleError
from benchbench.spec.metric_names import value_range
from benchbench.statistics import (
    Comparison,
    Design,
    Interval,
    PairTest,
    Panel,
    Unknown,
    adjust,
    bayesian_signed_rank,
    compare,
    compare_all,
    corrected_t,
    detectable_difference,
    family_of,
    friedman,
    holm,
    leave_one_out,
    make_panel,
    mean_interval,
    median_interval,
    probability_of_a_false_claim,
    rank_biserial,
    rank_intervals,
    resampled_means,
    sign_flips,
    standard_error,
    tau_b,
    wilcoxon,
)

NAN = float("nan")


def row(model: str, fold: int, patient: str, value: float, *, seed: int = 0, case: str = "") -> dict[str, Any]:
    return {
        "model": model,
        "fold": fold,
        "seed": seed,
        "patient": patient,
        "case": case or patient,
        "value": value,
    }


def panel(*values: Any, folds: int = 5, lower: bool = False) -> Panel:
    """Return a panel with one case per patient and folds of nearly equal size."""
    given = np.atleast_2d(np.array(values, dtype=float))
    number = np.sort(np.arange(given.shape[1]) % folds)
    return Panel(
        models=tuple("abcdefgh"[: len(given)]),
        patients=tuple(map(str, range(given.shape[1]))),
        folds=number,
        sums=given,
        counts=np.ones_like(given),
        is_lower_better=lower,
    )


def noisy(n: int, *, seed: int = 0, models: int = 1, folds: int = 5, lower: bool = False) -> Panel:
    return panel(*np.random.default_rng(seed).normal(0.8, 0.05, (models, n)), folds=folds, lower=lower)


# panels


def test_a_panel_orders_patients_by_fold_and_averages_cases_and_seeds() -> None:
    rows = [
        row("b", 1, "z", 0.2),
        row("a", 0, "y", 0.4, seed=0, case="y1"),
        row("a", 0, "y", 0.6, seed=1, case="y1"),  # the same case under another seed
        row("a", 0, "y", 1.0, case="y2"),
        row("b", 0, "y", 0.5, case="y1"),
        row("b", 0, "y", 0.5, case="y2"),
        row("a", 1, "z", 0.0),
    ]
    result = make_panel(pd.DataFrame(rows))
    assert result.models == ("a", "b")
    assert result.patients == ("y", "z")
    assert result.folds.tolist() == [0, 1]
    assert result.means.tolist() == pytest.approx([(0.5 + 1 + 0) / 3, (0.5 + 0.5 + 0.2) / 3])
    assert result.patient_means.tolist() == [pytest.approx([0.75, 0]), pytest.approx([0.5, 0.2])]
    assert result.fold_means.tolist() == [pytest.approx([0.75, 0]), pytest.approx([0.5, 0.2])]
    assert make_panel(pd.DataFrame(rows[::-1])).sums.tolist() == result.sums.tolist()


def test_models_with_different_cases_or_folds_are_refused() -> None:
    rows = [row("a", 0, "x", 1), row("b", 0, "x", 1), row("a", 1, "y", 1)]
    with pytest.raises(IncompatibleError, match="case y of fold 1 and 0 others: not scored for every model"):
        make_panel(pd.DataFrame(rows))
    with pytest.raises(IncompatibleError, match="not scored for every model in the same fold"):
        make_panel(pd.DataFrame([*rows, row("b", 0, "y", 1)]))


def test_values_undefined_for_all_models_are_left_out_and_for_some_are_refused() -> None:
    rows = [row(model, 0, patient, NAN if patient == "x" else 0.5) for model in "ab" for patient in "xy"]
    assert make_panel(pd.DataFrame(rows)).patients == ("y",)
    rows[0]["value"] = 0.0
    with pytest.raises(IncompatibleError, match="case x and 0 others: undefined for some models only"):
        make_panel(pd.DataFrame(rows))


# intervals


def test_too_few_patients_give_no_interval_and_few_give_a_warning() -> None:
    assert mean_interval(noisy(9)) == Unknown("9 patients are too few for an interval; 10 are the least")
    few = mean_interval(noisy(19))
    assert isinstance(few, Interval)
    assert few.warning == "19 patients: an interval may be too narrow below 20"
    assert mean_interval(noisy(20))[2] == ""  # type: ignore[misc]
    assert median_interval(np.arange(9.0)) == Unknown("9 patients are too few for an interval; 10 are the least")


def test_skewed_scores_need_more_patients() -> None:
    # one of 50 distances is the penalty: skewness 48 / sqrt(49) = 6.86, 25 x 6.86^2 = 1175.5
    distances = np.array([5.0] * 49 + [200.0])
    result = mean_interval(panel(distances, lower=True))
    assert isinstance(result, Interval)
    assert result.warning == "50 patients: an interval may be too narrow below 1176"
    compared = compare(panel(distances, np.full(50, 5.0), lower=True), "a", "b", rope=1.0, draws=500).interval
    assert isinstance(compared, Interval)
    assert compared.warning == result.warning


def test_the_interval_of_two_folds_is_over_patients_and_has_a_warning() -> None:
    result = mean_interval(noisy(60, folds=2))
    assert isinstance(result, Interval)
    assert result.warning == "2 folds: the noise of training is not in the interval"
    pooled = mean_interval(noisy(60, folds=1), method="percentile")
    assert result[:2] == pooled[:2]


def test_the_width_of_the_interval_is_that_of_student_over_folds() -> None:
    given = noisy(100)
    folds = given.fold_means[0]
    half = stats.t.ppf(0.975, 4) * folds.std(ddof=1) / math.sqrt(5)
    result = mean_interval(given)
    assert isinstance(result, Interval)
    assert result.high - result.low == pytest.approx(2 * half)
    assert result.low < given.means[0] < result.high
    assert standard_error(given) == (pytest.approx(folds.std(ddof=1) / math.sqrt(5)), 4)


def test_an_interval_stays_within_the_values_of_its_metric() -> None:
    # three folds of five: means 0.9, 0.1 and 0.1, whose t interval reaches from -0.78 to 1.51
    values = np.repeat([0.9, 0.1, 0.1], 5)
    free = mean_interval(panel(values, folds=3))
    assert isinstance(free, Interval)
    assert free.low < 0.0
    assert free.high > 1.0
    bounded = mean_interval(panel(values, folds=3), value_range=value_range("dice"))
    assert bounded == Interval(0.0, 1.0, free.warning)
    distances = mean_interval(panel(values, folds=3, lower=True), value_range=value_range("hd95_mm"))
    assert distances == Interval(0.0, free.high, free.warning)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("dice", (0.0, 1.0)),
        ("nsd@2_mm", (0.0, 1.0)),
        ("lesion_dice@gli", (0.0, 1.0)),
        ("lesion_hd95@gli_mm", (0.0, math.inf)),
        ("assd_px", (0.0, math.inf)),
        ("of_a_plugin", (-math.inf, math.inf)),
    ],
)
def test_the_values_that_a_metric_can_have(metric: str, expected: tuple[float, float]) -> None:
    assert value_range(metric) == expected


def test_the_error_is_over_folds_if_there_are_three() -> None:
    three, two = noisy(60, folds=3), noisy(60, folds=2)
    error = three.fold_means[0].std(ddof=1) / math.sqrt(3)
    assert standard_error(three) == (pytest.approx(error), 2)
    interval = mean_interval(three)
    assert isinstance(interval, Interval)
    assert interval.warning == ""
    assert interval.high - interval.low == pytest.approx(2 * stats.t.ppf(0.975, 2) * error)
    assert standard_error(two) == (pytest.approx(two.sums[0].std(ddof=1) / math.sqrt(60)), 59)


@pytest.mark.parametrize("method", ["t", "bca", "percentile"])
def test_all_methods_agree_for_a_single_fold(method: Any) -> None:
    given = noisy(400, folds=1)
    half = 1.96 * 0.05 / math.sqrt(400)
    result = mean_interval(given, method=method)
    assert isinstance(result, Interval)
    assert result[:2] == pytest.approx((given.means[0] - half, given.means[0] + half), abs=0.001)


def test_equal_values_have_an_interval_of_width_zero() -> None:
    for method in ("hierarchical", "percentile", "t", "bca"):
        assert mean_interval(panel(np.full(60, 0.75)), method=method)[:2] == pytest.approx((0.75, 0.75))  # type: ignore[arg-type]


def test_a_patient_with_more_cases_has_more_weight() -> None:
    values = np.random.default_rng(0).normal(size=40)
    many = panel(values)
    heavy = Panel(
        models=("a",), patients=many.patients, folds=many.folds, sums=many.sums * 3, counts=many.counts * 3
    )
    intervals = [mean_interval(cases) for cases in (heavy, many)]
    assert intervals[0][:2] == pytest.approx(intervals[1][:2])  # three times as many cases each: nothing changes
    assert standard_error(heavy) == pytest.approx(standard_error(many))
    uneven = Panel(
        models=("a",),
        patients=("x", "y"),
        folds=np.array([0, 1]),
        sums=np.array([[0.9, 0.5]]),
        counts=np.array([[3.0, 1]]),
    )
    assert uneven.means.tolist() == [pytest.approx(1.4 / 4)]


def uneven() -> Panel:
    """Return three patients of one fold with three, one and two cases; the mean over cases is 1/2."""
    return Panel(
        models=("a",),
        patients=("x", "y", "z"),
        folds=np.zeros(3, dtype=np.int64),
        sums=np.array([[2.0, 1, 0]]),
        counts=np.array([[3.0, 1, 2]]),
    )


def test_a_patient_with_more_cases_has_a_larger_part_in_the_error() -> None:
    # 2 - 3/2, 1 - 1/2 and 0 - 2/2, each over 2 cases a patient: 1/4, 1/4 and -1/2, whose variance is 3/16
    assert standard_error(uneven()) == (pytest.approx(math.sqrt(3 / 16) / math.sqrt(3)), 2)


def test_a_resampled_mean_is_a_mean_over_cases() -> None:
    means = resampled_means(uneven(), draws=500)[:, 0]
    # x, y and z once each or one of them alone; xxy, xxz, xyy, xzz, yyz and yzz
    possible = [1 / 2, 2 / 3, 1, 0, 5 / 7, 4 / 8, 4 / 5, 2 / 7, 2 / 4, 1 / 5]
    assert sorted(set(means.round(9))) == sorted({round(value, 9) for value in possible})


def test_the_ends_of_a_median_interval_are_sorted_values() -> None:
    # of 20 values, the 6th and the 15th: two times P(at most 5 below) = 0.0414
    assert median_interval(np.arange(20.0)[::-1])[:2] == (5, 14)  # type: ignore[index]
    assert 2 * stats.binom.cdf(5, 20, 0.5) < 0.05 < 2 * stats.binom.cdf(6, 20, 0.5)


def test_resampling_is_reproducible_by_its_seed() -> None:
    given = noisy(50, models=2)
    assert np.array_equal(resampled_means(given, draws=50, seed=1), resampled_means(given, draws=50, seed=1))
    assert not np.array_equal(resampled_means(given, draws=50, seed=1), resampled_means(given, draws=50, seed=2))


def test_resampled_means_have_the_variance_of_folds_and_patients() -> None:
    given = panel(np.random.default_rng(1).normal(size=200) + np.repeat([0, 1, 2, 3, 4], 40))
    drawn = resampled_means(given, draws=20_000)[:, 0]
    between = given.fold_means[0].var() / 5
    within = np.mean([given.patient_means[0, given.folds == fold].var() for fold in range(5)]) / 200
    assert drawn.var() == pytest.approx(between + within, rel=0.05)
    assert drawn.mean() == pytest.approx(given.means[0], abs=0.02)


def test_ten_thousand_draws_of_a_hundred_patients_take_less_than_a_second() -> None:
    given = noisy(100, models=5)
    began = time.process_time()
    resampled_means(given)
    assert time.process_time() - began < 1


# tests of pairs


def test_the_signed_rank_test_is_exact_for_few_patients_and_ranks_zeros() -> None:
    assert wilcoxon(np.array([1.0, 2, 3, 4, 5, 6])) == pytest.approx(2 / 2**6)
    assert wilcoxon(np.array([-1.0, 2, 3, 4, 5, 6])) == pytest.approx(4 / 2**6)
    # zeros take the ranks 1 and 2: 5 wins of ranks 3 to 7; mean 25 / 2, variance (9 + 16 + 25 + 36 + 49) / 4
    z = (25 - 12.5) / math.sqrt(135 / 4)
    assert wilcoxon(np.array([0.0, 0, 1, 2, 3, 4, 5])) == pytest.approx(2 * stats.norm.sf(z))


def test_equal_models_have_no_difference() -> None:
    same = np.zeros(30)
    assert (wilcoxon(same), sign_flips(same), corrected_t(same[:5]), rank_biserial(same)) == (1, 1, 1, 0)
    assert probability_of_a_false_claim(same) == 0.5
    assert bayesian_signed_rank(same, 0.01) == (0, 1, 0)
    given = panel(np.full(60, 0.5), np.full(60, 0.5))
    result = compare(given, "a", "b", rope=0.01)
    assert (result.difference, result.wins, result.ties, result.losses, result.better) == (0, 0, 60, 0, "")
    assert (result.is_decided, result.is_equivalent, result.p) == (False, True, 1)


def test_too_few_pairs_give_no_test() -> None:
    assert wilcoxon(np.ones(5)) == Unknown("5 patients are too few for a test; 6 are the least")
    assert sign_flips(np.ones(5)) == Unknown("5 patients are too few for a test; 6 are the least")
    assert corrected_t(np.ones(1)) == Unknown("one fold: the noise of training is not known")


def test_all_sign_flips_are_tried_for_few_patients() -> None:
    assert sign_flips(np.array([1.0, 2, 3, 4, 5, 6])) == 2 / 2**6
    assert sign_flips(np.array([-1.0, 2, 3, 4, 5, 6])) == 4 / 2**6
    many = np.random.default_rng(0).normal(0.3, 1, 60)
    assert sign_flips(many) == pytest.approx(stats.ttest_1samp(many, 0).pvalue, abs=0.01)


def test_random_sign_flips_are_reproducible_and_never_give_p_zero() -> None:
    assert sign_flips(np.ones(60), flips=999) == 1 / 1000
    values = np.random.default_rng(0).normal(0.1, 1, 60)
    assert sign_flips(values, flips=200, seed=3) == sign_flips(values, flips=200, seed=3)
    assert len({sign_flips(values, flips=200, seed=seed) for seed in range(5)}) > 1


def test_rank_biserial_equals_hand_computed_values() -> None:
    assert rank_biserial(np.array([1.0, 2, 3])) == 1
    assert rank_biserial(np.array([-1.0, 2, -3])) == pytest.approx((2 - 4) / 6)


def test_the_test_over_folds_is_corrected_for_overlapping_training_sets() -> None:
    differences = np.array([0.01, 0.03, 0.02, 0.02, 0.02])
    t = 0.02 / math.sqrt((1 / 5 + 1 / 4) * 0.00005)
    assert corrected_t(differences) == pytest.approx(2 * stats.t.sf(t, 4))
    assert corrected_t(differences, test_over_train=0) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert corrected_t(np.ones(5)) == 0


def test_the_probability_of_a_false_claim_is_a_one_sided_p() -> None:
    differences = np.random.default_rng(0).normal(0.2, 1, 50)
    one_sided = stats.ttest_1samp(differences, 0, alternative="greater").pvalue
    assert probability_of_a_false_claim(differences) == pytest.approx(one_sided)
    assert probability_of_a_false_claim(-differences) == pytest.approx(one_sided)
    assert isinstance(probability_of_a_false_claim(differences[:9]), Unknown)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([-0.3, -0.02, 0.0, 0.005, 0.02, 0.3]), min_size=1, max_size=8), st.integers(0, 9))
def test_the_signed_rank_probabilities_equal_those_over_all_pairs(values: list[float], seed: int) -> None:
    differences, rope = np.array(values), 0.01
    # the same draws, and the sums over pairs by force
    generator = np.random.default_rng(seed)
    ordered = np.sort(np.append(differences, 0.0))
    weights = generator.standard_exponential((len(ordered), 300))
    weights[np.flatnonzero(ordered == 0)[0]] = generator.standard_gamma(0.5, 300)
    weights /= weights.sum(0)
    sums = ordered[:, None] + ordered[None]
    kinds = [sums > 2 * rope, np.abs(sums) <= 2 * rope, sums < -2 * rope]
    chances = [np.einsum("pd,qd,pq->d", weights, weights, kind.astype(float)) for kind in kinds]
    expected = np.bincount(np.argmax(chances, axis=0), minlength=3) / 300
    assert bayesian_signed_rank(differences, rope, draws=300, seed=seed) == pytest.approx(
        tuple(expected), abs=0.01
    )


def test_practical_differences_and_practical_equality_are_distinguished() -> None:
    better = bayesian_signed_rank(np.full(40, 0.05), 0.01, draws=5000)
    assert better.better > 0.99
    same = bayesian_signed_rank(np.random.default_rng(0).normal(0, 0.004, 40), 0.01, draws=5000)
    assert same.same > 0.99
    assert sum(same) == pytest.approx(1)


def test_a_clear_difference_is_a_claim_in_the_direction_of_the_metric() -> None:
    given = noisy(100, models=2)
    shifted = panel(
        given.patient_means[0], given.patient_means[0] + 0.02 + np.random.default_rng(3).normal(0, 0.01, 100)
    )
    result = compare(shifted, "b", "a", rope=0.01)
    assert result.is_decided
    assert (result.better, result.n, result.folds) == ("b", 100, 5)
    assert result.wins + result.ties + result.losses == 100
    assert result.wins > 90
    farther = compare(panel(*shifted.patient_means, lower=True), "b", "a", rope=0.01)  # as distances: b is worse
    assert (farther.better, farther.wins, farther.losses) == ("a", result.losses, result.wins)
    assert farther.difference == result.difference
    assert farther.rank_biserial == pytest.approx(-result.rank_biserial)
    assert farther.rope == pytest.approx(result.rope[::-1], abs=0.01)


def test_exchanging_the_models_changes_only_signs() -> None:
    given = noisy(60, models=2)
    there, back = compare(given, "a", "b", rope=0.01), compare(given, "b", "a", rope=0.01)
    assert there.difference == -back.difference
    assert (there.p, there.p_wilcoxon, there.p_folds) == (back.p, back.p_wilcoxon, back.p_folds)
    assert (there.wins, there.losses) == (back.losses, back.wins)
    assert there.smallest_detectable == pytest.approx(back.smallest_detectable)
    assert isinstance(there.interval, Interval)
    assert isinstance(back.interval, Interval)
    assert there.interval[:2] == pytest.approx((-back.interval.high, -back.interval.low), abs=0.003)


def test_the_smallest_detectable_difference_is_that_of_the_design() -> None:
    given = noisy(100, models=2)
    result = compare(given, "a", "b", rope=0.01, draws=500)
    expected = detectable_difference(result.components, Design(100, 5, 1))
    assert result.smallest_detectable == pytest.approx(expected)


def test_one_fold_with_the_opposite_sign_prevents_a_claim() -> None:
    difference = np.repeat([0.06, 0.05, 0.04, -0.05, 0.03], 40) + np.random.default_rng(0).normal(0, 0.02, 200)
    result = compare(panel(difference, np.zeros(200)), "a", "b", rope=0.01)
    assert isinstance(result.p_wilcoxon, float)
    assert result.p_wilcoxon < 0.001
    assert not result.is_decided


@pytest.mark.parametrize("change", [{"p_holm": 0.05}, {"p_holm": Unknown("few patients")}, {"difference": 0.0}])
def test_a_claim_needs_a_difference_and_a_small_adjusted_p(change: dict[str, Any]) -> None:
    claim = compare(shifted(0.9, 0.8), "a", "b", rope=0.01, draws=500)
    assert claim.is_decided
    assert not replace(claim, **change).is_decided


def test_twelve_wins_of_twelve_by_a_large_difference_are_a_claim() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.normal(0.85, 0.05, 12), generator.normal(0.45, 0.05, 12)
    for folds in (1, 2, 3, 5):
        result = compare(panel(first, second, folds=folds), "a", "b", rope=0.01, draws=500)
        assert (result.wins, result.is_decided, result.better) == (12, True, "a")


def test_nine_patients_decide_nothing() -> None:
    result = compare(panel([0.9] * 9, [0.1] * 9), "a", "b", rope=0.01, draws=500)
    assert result.p == Unknown("9 patients are too few for a test; 10 are the least")
    assert not result.is_decided
    assert isinstance(result.interval, Unknown)
    assert isinstance(result.smallest_detectable, Unknown)


@pytest.mark.parametrize("shift", [0.0, 0.004, 0.012])
def test_equivalence_is_two_one_sided_tests_as_in_statsmodels(shift: float) -> None:
    from statsmodels.stats.weightstats import DescrStatsW

    difference = np.random.default_rng(1).normal(0, 0.02, 60)
    difference += shift - difference.mean()
    folds = np.sort(np.arange(60) % 5)
    spread = difference - np.array([difference[folds == fold].mean() for fold in range(5)])[folds] + shift
    result = compare(panel(0.8 + spread, np.full(60, 0.8)), "a", "b", rope=0.01, draws=500)
    p, lower, upper = DescrStatsW(spread.round(9)).ttost_mean(-0.01, 0.01)
    assert result.p_equivalent == pytest.approx(p, rel=1e-5)
    assert (result.p_first_not_worse, result.p_second_not_worse) == pytest.approx((lower[1], upper[1]), rel=1e-5)
    assert result.is_equivalent == (shift < 0.01)


def test_a_model_is_not_worse_in_the_direction_of_the_metric() -> None:
    better = np.random.default_rng(2).normal(0.05, 0.01, 60)
    as_score = compare(panel(0.8 + better, np.full(60, 0.8)), "a", "b", rope=0.01, draws=500)
    assert as_score.not_worse == ("a",)
    as_distance = compare(panel(0.8 + better, np.full(60, 0.8), lower=True), "a", "b", rope=0.01, draws=500)
    assert as_distance.not_worse == ("b",)


def test_the_probability_of_a_win_on_a_new_patient_has_wilson_s_interval() -> None:
    signs = np.array([1.0] * 15 + [-1.0] * 5)[np.random.default_rng(1).permutation(20)]
    result = compare(panel(0.5 + 0.1 * signs, np.full(20, 0.5), folds=1), "a", "b", rope=0.01, draws=500)
    assert result.p_new_patient == 0.75
    # 15 of 20 by Wilson: [0.531, 0.888]; the t distribution of 19 degrees of freedom makes it wider
    assert isinstance(result.new_patient, Interval)
    assert result.new_patient.low == pytest.approx(0.531, abs=0.03)
    assert result.new_patient.high == pytest.approx(0.888, abs=0.03)


def test_seeds_that_agree_add_evidence() -> None:
    generator = np.random.default_rng(0)
    patients = generator.normal(0, 0.02, 60)
    folds = np.sort(np.arange(60) % 5)

    def seeds(n: int) -> Panel:
        noise = np.random.default_rng(5).normal(0, 0.02, (n, 5))[:, folds]
        values = np.stack([0.8 + patients + noise, np.full((n, 60), 0.79)], axis=1)
        return replace(panel(*values.mean(0)), by_seed=values)

    widths = []
    for n in (2, 10):
        result = compare(seeds(n), "a", "b", rope=0.01, draws=500)
        assert result.design.seeds == n
        assert isinstance(result.interval, Interval)
        widths.append(result.interval.high - result.interval.low)
    assert widths[1] < 0.6 * widths[0]


def test_a_panel_keeps_the_seeds_of_every_model() -> None:
    rows = [
        row(model, fold, patient, 0.1 * seed + (model == "b"), seed=seed, case=f"{patient}{number}")
        for model, seeds in (("a", (0, 1)), ("b", (3, 4)))
        for seed in seeds
        for fold, patient in ((0, "x"), (1, "y"))
        for number in range(2)
    ]
    result = make_panel(pd.DataFrame(rows))
    # two cases a patient: seeds 0 and 1 of a, 3 and 4 of b
    assert result.seed_sums[:, 0, 0].tolist() == pytest.approx([0.0, 0.2])
    assert result.seed_sums[:, 1, 0].tolist() == pytest.approx([2.6, 2.8])
    assert result.seed_sums.mean(axis=0) == pytest.approx(result.sums)
    assert result.of(["b"]).seed_sums[:, 0] == pytest.approx(result.seed_sums[:, 1])
    uneven = [line for line in rows if line["seed"] != 4]
    assert make_panel(pd.DataFrame(uneven)).by_seed is None


# families and ranks


def test_holm_equals_hand_computed_values() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@pytest.mark.parametrize("seed", range(5))
def test_holm_equals_statsmodels_in_every_digit(seed: int) -> None:
    from statsmodels.stats.multitest import multipletests

    values = np.random.default_rng(seed).uniform(0, 0.2, 12).round(2)  # equal values among them
    assert holm(values.tolist()) == multipletests(values, method="holm")[1].tolist()


def shifted(*means: float, n: int = 60, lower: bool = False) -> Panel:
    generator = np.random.default_rng(0)
    shared = generator.normal(0, 0.05, n)
    return panel(*(mean + shared + generator.normal(0, 0.004, n) for mean in means), lower=lower)


def test_all_pairs_by_one_metric_are_one_family() -> None:
    panels = {"dice": shifted(0.8, 0.9, 0.85), "hd95_mm": shifted(8, 9, 8.5, lower=True)}
    result = compare_all(panels, ropes={"dice": 0.01, "hd95_mm": 1})
    assert [(pair.first, pair.second) for pair in result["dice"]] == [("b", "c"), ("b", "a"), ("c", "a")]
    assert [(pair.first, pair.second) for pair in result["hd95_mm"]] == [("a", "c"), ("a", "b"), ("c", "b")]
    for pairs in result.values():
        plain: list[Any] = [pair.p for pair in pairs]
        adjusted: list[Any] = [pair.p_holm for pair in pairs]
        assert adjusted == pytest.approx(holm(plain))
        assert {pair.family_size for pair in pairs} == {3}
    against = compare_all(panels, ropes={"dice": 0.01, "hd95_mm": 1}, against="a")
    assert [len(pairs) for pairs in against.values()] == [2, 2]


def test_pairs_that_are_not_compared_belong_to_the_family_too() -> None:
    pair = compare(shifted(0.8, 0.81, n=20), "a", "b", rope=0.01, draws=100)
    p = pair.p
    assert isinstance(p, float)
    few = Unknown("few patients")
    (adjusted,) = adjust([pair], others=[PairTest(0.9, 1.0), PairTest(few, few), PairTest(0.8, 1.0)])
    assert (adjusted.p_holm, adjusted.family_size) == (pytest.approx(3 * p), 4)
    (alone,) = adjust([pair])
    assert (alone.p_holm, alone.family_size) == (p, 1)


def test_the_family_is_named_in_words() -> None:
    assert (
        family_of(1, metric="dice", dataset="lgg") == "Holm over 1 comparison: the pair of models on lgg by dice"
    )
    assert family_of(3, metric="dice", dataset="lgg").startswith("Holm over 3 comparisons: the 3 pairs of models")


def test_means_that_only_a_rounding_error_separates_are_equal() -> None:
    values = [0.1, 0.2, 0.3] * 10
    shuffled = [0.3, 0.2, 0.1] * 10
    pair = compare(panel(values, np.array(values) + 1e-16), "a", "b", rope=0.01, draws=100)
    assert (pair.better, pair.ties, pair.p_wilcoxon) == ("", 30, 1.0)
    assert compare(panel(values, shuffled), "a", "b", rope=0.01, draws=100).better == ""


def comparison(first: str, second: str, *, differ: bool) -> Comparison:
    given = shifted(0.9, 0.8 if differ else 0.9)
    result = compare(given, "a", "b", rope=0.01, draws=500)
    assert result.is_decided == differ
    return Comparison(**{**vars(result), "first": first, "second": second})


def test_a_model_ranks_below_all_shown_better_and_above_all_shown_worse() -> None:
    apart = {("a", "c"), ("a", "d"), ("b", "d")}
    pairs = [comparison(*pair, differ=pair in apart) for pair in itertools.combinations("abcd", 2)]
    # a beats c and d, b beats d: a 1 to 4 - 2, b 1 to 4 - 1, c 1 + 1 to 4, d 1 + 2 to 4
    assert rank_intervals("abcd", pairs) == {"a": (1, 2), "b": (1, 3), "c": (2, 4), "d": (3, 4)}
    all_apart = [comparison(*pair, differ=True) for pair in itertools.combinations("abcd", 2)]
    assert [str(ranks) for ranks in rank_intervals("abcd", all_apart).values()] == ["1", "2", "3", "4"]
    assert [str(ranks) for ranks in rank_intervals("abcd", []).values()] == ["1-4"] * 4


# several datasets


def test_friedman_equals_hand_computed_values() -> None:
    # ranks 1, 2, 3 on four of five datasets, 1, 3, 2 on the last: chi2 = 12 * 5 / 12 * (1 + 2.2**2 + 2.8**2 - 12)
    scores = np.array([[3.0, 2, 1]] * 4 + [[3, 1, 2]])
    chi = 5 * (1 + 2.2**2 + 2.8**2 - 12)
    result = friedman(scores)
    assert not isinstance(result, Unknown)
    assert result.mean_ranks == pytest.approx((1, 2.2, 2.8))
    assert result.p == pytest.approx(stats.f.sf(4 * chi / (5 * 2 - chi), 2, 8))
    assert friedman(-scores, is_lower_better=True) == result


def test_friedman_needs_five_datasets_and_three_models() -> None:
    assert friedman(np.zeros((4, 3))) == Unknown("4 datasets are too few; 5 are the least")
    assert isinstance(friedman(np.zeros((5, 2))), Unknown)
    same = friedman(np.zeros((6, 3)))
    assert not isinstance(same, Unknown)
    assert (same.p, same.mean_ranks) == (1, (2, 2, 2))
    always = friedman(np.array([[3.0, 2, 1]] * 6))
    assert not isinstance(always, Unknown)
    assert always.p == 0


# ranks


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=4), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_tau_b_equals_that_of_scipy(one: list[int], other: list[int]) -> None:
    expected = stats.kendalltau(one, other).statistic if len(set(one)) > 1 and len(set(other)) > 1 else 0
    assert tau_b(np.array([one], float), np.array(other, float))[0] == pytest.approx(expected)


def test_leave_one_out_shows_an_order_that_depends_on_one_fold() -> None:
    steady = np.array([[3.0, 2, 1]] * 4)
    assert leave_one_out(steady).tolist() == pytest.approx([1, 1, 1, 1])
    hanging = np.array([[3.0, 2, 1], [2, 3, 1], [3, 2, 1]])  # 3, 2 twice and 2, 3 once
    assert leave_one_out(hanging)[1] == pytest.approx(1)
    assert leave_one_out(hanging)[0] < 1
