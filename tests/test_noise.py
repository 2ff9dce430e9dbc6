"""The noise of a mean over patients, folds and seeds: components, tests, intervals and the floor of a design."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchbench.images.arrays import Floats
from benchbench.statistics import (
    Components,
    Design,
    components,
    detectable_difference,
    measure_noise,
    needed_designs,
)
from benchbench.statistics.noise import Noise, half_width, p_values
from benchbench.statistics.pooling import fold_correlation, inflation, pooling_level, pooling_limit


def folds_of(patients: int, folds: int) -> Any:
    return np.sort(np.arange(patients) % folds)


def made(
    seed: int, *, seeds: int = 1, folds: int = 5, fold_sd: float = 0.05, shape: tuple[int, ...] = ()
) -> Floats:
    """Return (*shape, seeds, 50) values with noise of patients, folds and seeds."""
    generator = np.random.default_rng(seed)
    number = folds_of(50, folds)
    values = generator.normal(0.02, 0.05, (*shape, 1, 50)) + generator.normal(0, 0.02, (*shape, seeds, 50))
    values += generator.normal(0, fold_sd, (*shape, 1, folds))[..., number]
    values += generator.normal(0, 0.03, (*shape, seeds, folds))[..., number]
    return np.asarray(values)


def test_mean_squares_equal_those_worked_out_by_hand() -> None:
    # fold means 1 and 4, mean 2.5; within folds (0, 2) and (3, 5): squares 4 x 1; between 2 x 2 x 1.5^2 = 9
    noise = measure_noise(np.array([[0.0, 2, 3, 5]]), np.array([0, 0, 1, 1]))
    assert (float(noise.patients), float(noise.folds)) == (4 / 2, 9 / 1)
    assert components(noise)[:2] == pytest.approx((math.sqrt(2), math.sqrt((9 - 2) / 2)))
    assert float(noise.over_patients.variance) == pytest.approx((2 * 2 + 1 * 9) / 3 / 4)
    assert noise.over_patients.freedom == 3
    assert float(noise.over_folds.variance) == pytest.approx((2 + inflation(2, 0.1) * 7) / 4)


def test_seeds_are_crossed_with_the_patients_of_a_fold() -> None:
    # one fold, two patients, two seeds: rows 0 2 and 4 6: patients differ by 2, seeds by 4, nothing remains
    noise = measure_noise(np.array([[0.0, 2], [4, 6]]), np.array([0, 0]))
    assert (float(noise.patients), float(noise.rest)) == (2, 0)
    # between seeds: 2 patients x (2^2 + 2^2) = 16 with one degree of freedom, halved for a mean of two seeds
    assert float(noise.seeds) == 8
    assert components(noise).seeds == pytest.approx(math.sqrt(8))
    assert math.isnan(components(noise).folds)


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_the_components_are_those_of_the_mixed_model_of_statsmodels(seed: int) -> None:
    from statsmodels.regression.mixed_linear_model import MixedLM

    values, folds = made(seed), folds_of(50, 5)
    noise = measure_noise(values, folds)
    assert noise.folds > noise.patients
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = MixedLM(values[0], np.ones(50), groups=folds).fit(reml=True)
    parts = components(noise)
    assert fit.params[0] == pytest.approx(values.mean())
    assert math.sqrt(fit.scale) == pytest.approx(parts.patients, rel=1e-4)
    assert math.sqrt(float(np.asarray(fit.cov_re)[0, 0])) == pytest.approx(parts.folds, rel=1e-3)
    without_correlation = Noise(**{**vars(noise), "correlation": 0.0})
    assert math.sqrt(float(without_correlation.over_folds.variance)) == pytest.approx(float(fit.bse[0]), rel=1e-3)


def test_the_components_of_several_seeds_are_those_of_statsmodels() -> None:
    from statsmodels.regression.mixed_linear_model import MixedLM

    values, folds = made(1, seeds=3), folds_of(50, 5)
    parts = components(measure_noise(values, folds))
    assert min(parts) > 0
    index = pd.MultiIndex.from_product([range(3), range(50)], names=["seed", "patient"])
    table = pd.DataFrame({"value": values.ravel()}, index=index).reset_index()
    table["fold"] = folds[table["patient"]]
    within = {"patient": "0 + C(patient)", "seed": "0 + C(seed)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MixedLM.from_formula("value ~ 1", groups="fold", re_formula="1", vc_formula=within, data=table)
        fit = model.fit(reml=True)
    assert math.sqrt(fit.scale) == pytest.approx(parts.rest, rel=0.01)
    expected = dict(zip(model.exog_vc.names, np.sqrt(fit.vcomp), strict=True))
    assert (parts.patients, parts.seeds) == pytest.approx((expected["patient"], expected["seed"]), rel=0.01)
    assert parts.folds == pytest.approx(math.sqrt(float(np.asarray(fit.cov_re)[0, 0])), rel=0.02)


def test_without_a_difference_between_folds_the_test_is_student_over_patients() -> None:
    values = made(0, fold_sd=0.0)
    folds = folds_of(50, 5)
    values -= np.array([values[0, folds == fold].mean() for fold in range(5)])[folds]  # equal means of folds
    values += 0.01
    noise = measure_noise(values, folds)
    expected = stats.ttest_1samp(values[0], 0)
    assert float(p_values(noise, values.mean())) == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert float(half_width(noise, 0.05)) == pytest.approx((interval.high - interval.low) / 2)


def test_folds_that_differ_a_lot_are_the_units_of_the_test() -> None:
    noise = measure_noise(made(2, fold_sd=0.3), folds_of(50, 5))
    error = math.sqrt(float(noise.over_folds.variance))
    assert float(p_values(noise, np.array(0.1))) == pytest.approx(2 * stats.t.sf(0.1 / error, 4))
    assert float(half_width(noise, 0.05)) == pytest.approx(stats.t.isf(0.025, 4) * error)


@pytest.mark.parametrize(("folds", "seeds"), [(5, 1), (5, 3), (1, 1), (1, 3), (2, 2), (50, 1)])
def test_an_interval_excludes_0_exactly_where_p_is_below_the_level(folds: int, seeds: int) -> None:
    values = made(7, folds=folds, seeds=seeds, fold_sd=0.02, shape=(300,))
    noise = measure_noise(values, folds_of(50, folds), assumed_sd=0.02)
    means = values.mean(axis=(1, 2))
    assert ((p_values(noise, means) < 0.05) == (np.abs(means) > half_width(noise, 0.05))).all()


def test_the_noise_of_a_single_training_is_assumed() -> None:
    values = made(0, folds=1)
    noise = measure_noise(values, folds_of(50, 1), assumed_sd=0.02)
    variance = values.var(ddof=1) / 50 + 0.02**2
    assert float(noise.over_one_split.variance) == pytest.approx(variance)
    freedom = 49 * (variance / (values.var(ddof=1) / 50)) ** 2
    assert float(half_width(noise, 0.05)) == pytest.approx(stats.t.isf(0.025, freedom) * math.sqrt(variance))


def test_folds_of_one_patient_have_their_noise_in_that_of_the_patients() -> None:
    values = made(0, folds=50)
    noise = measure_noise(values, folds_of(50, 50))
    assert float(p_values(noise, values.mean())) == pytest.approx(stats.ttest_1samp(values[0], 0).pvalue)


def test_equal_values_have_no_noise() -> None:
    noise = measure_noise(np.zeros((1, 20)), folds_of(20, 5))
    assert float(p_values(noise, np.array(0.0))) == 1
    assert float(p_values(noise, np.array(0.01))) < 1e-6


def test_a_stricter_test_pools_folds_less_often() -> None:
    limits = [pooling_limit(4, level, 0.0) for level in (0.1, 0.05, 0.01, 0.001)]
    assert limits == sorted(limits, reverse=True)
    assert limits[1] == pytest.approx(1.1, abs=0.1)
    level = float(pooling_level(4, np.array(limits[1]), 0.0))
    assert level == pytest.approx(0.05, abs=0.002)
    assert pooling_limit(1, 0.05, 0.0) < 0.3  # two folds say little about their noise
    assert float(pooling_level(4, np.array(50.0), 0.0)) == math.inf


def test_correlated_folds_have_a_larger_variance() -> None:
    # of the variance that five folds show, 1 - rho; of that of their mean, 1 + 4 rho
    assert inflation(5, 0.2) == pytest.approx((1 + 4 * 0.2) / (1 - 0.2))
    assert fold_correlation(5) == pytest.approx(0.04)


def test_the_floor_is_the_difference_that_four_of_five_experiments_show() -> None:
    design, sd = Design(100, 5, 1), 0.05
    floor = detectable_difference(Components(sd, 0.01, math.nan, math.nan), design)
    generator = np.random.default_rng(3)
    folds = folds_of(100, 5)
    values = generator.normal(0, sd, (2000, 1, 100)) + generator.normal(0, 0.01, (2000, 1, 5))[..., folds]
    noise = measure_noise(values, folds)
    shares = [
        float((p_values(noise, values.mean(axis=(1, 2)) + gap) < 0.05).mean())
        for gap in (0.8 * floor, 1.2 * floor)
    ]
    assert shares[0] < 0.8 < shares[1]


def test_a_floor_without_noise_of_training_is_that_of_student() -> None:
    design = Design(100, 1, 1)
    floor = detectable_difference(Components(0.05, math.nan, math.nan, math.nan), design)
    expected = (stats.t.isf(0.025, 99) + stats.norm.isf(0.2)) * 0.005
    assert floor == pytest.approx(expected, rel=0.03)


def test_what_is_missing_would_show_the_difference() -> None:
    parts = Components(0.05, 0.0, 0.01, 0.01)
    design = Design(40, 5, 1)
    needs = dict(needed_designs(parts, design, 0.025))
    assert detectable_difference(parts, design) > 0.025
    assert needs["patients"] > 40
    for what, number in needs.items():
        assert detectable_difference(parts, design._replace(**{what: number})) <= 0.025
        assert detectable_difference(parts, design._replace(**{what: round(number / 1.3)})) > 0.025
    assert dict(needed_designs(parts, design, 1e-6)) == {}
