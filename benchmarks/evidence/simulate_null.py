"""Simulates how often a rule claims a difference between equal models, and how often an interval covers the mean.

    python benchmarks/evidence/simulate_null.py

Each repeat simulates two equally good models on the same patients in five folds. A patient is easy or hard for
both models. Each model also has a random effect for every patient and, like the noise of training, for every
fold (`noise`). Each rule tests at a nominal 5 %, and every claim is false. For the intervals one model is
simulated, and the intervals that contain the true mean are counted: for a nominal 95 %, 93 to 97 % are good.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchbench.statistics import Interval, Panel, Unknown, compare, mean_interval
from benchbench.statistics.paired import ALPHA, Comparison

FOLDS, CASE_SD = 5, 0.05
NOISES = (0.0, 0.005, 0.01, 0.02, 0.04)
PATIENTS = (50, 100, 300)
Floats = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=1000, help="of each bootstrap")
    options = parser.parse_args()
    print(f"{options.repeats} repeats; a share of 5 % is known to +-{_margin(options.repeats):.1f} points\n")
    print("False claims, %: difference between patients of SD 0.05")
    _print_table(tuple(RULES), partial(false_claims, repeats=options.repeats, draws=options.draws))
    distributions = {"normal": normal, "skewed: Dice with 5 % failures at 0": with_failures}
    for title, draw in distributions.items():
        print(f"\nIntervals that contain the true mean, %: {title}")
        measure = partial(coverage, draw=draw, repeats=options.repeats, draws=options.draws)
        _print_table(METHODS, measure)


def _excludes_zero(comparison: Comparison) -> bool:
    return isinstance(comparison.interval, Interval) and not comparison.interval.spans_zero


RULES: dict[str, Callable[[Comparison], bool]] = {
    "signed-rank test of patients alone": lambda comparison: _below(comparison.p_wilcoxon),
    "interval": _excludes_zero,
    "test over folds": lambda comparison: _below(comparison.p_folds),
    "all three: benchbench": lambda comparison: comparison.is_separable,
}
METHODS = ("t", "percentile", "hierarchical")


def false_claims(patients: int, noise: float, *, repeats: int, draws: int) -> dict[str, float]:
    """Return the percentage of repeats in which each rule claims a difference."""
    claims = dict.fromkeys(RULES, 0)
    for repeat in range(repeats):
        generator = np.random.default_rng([repeat, patients, round(1e4 * noise)])
        difficulty = 0.8 + generator.normal(0, 0.1, patients)
        # each model contributes half of the variance of the difference
        values = difficulty + generator.normal(0, CASE_SD / math.sqrt(2), (2, patients))
        fold_effects = generator.normal(0, noise / math.sqrt(2), (2, FOLDS))
        panel = _panel(values + fold_effects[:, _folds(patients)])
        comparison = compare(panel, "a", "b", rope=0.01, draws=draws, seed=repeat)
        for rule, claims_difference in RULES.items():
            claims[rule] += claims_difference(comparison)
    return {rule: 100 * count / repeats for rule, count in claims.items()}


def coverage(
    patients: int, noise: float, *, draw: Callable[[np.random.Generator, int], Floats], repeats: int, draws: int
) -> dict[str, float]:
    """Return the percentage of repeats in which the interval of each method contains the true mean, 0."""
    covered = dict.fromkeys(METHODS, 0)
    for repeat in range(repeats):
        generator = np.random.default_rng([repeat, patients, round(1e4 * noise)])
        values = draw(generator, patients) + generator.normal(0, noise, FOLDS)[_folds(patients)]
        panel = _panel(values[None])
        for method in METHODS:
            interval = mean_interval(panel, method=method, draws=draws, seed=repeat)
            covered[method] += isinstance(interval, Interval) and interval.spans_zero
    return {method: 100 * count / repeats for method, count in covered.items()}


def normal(generator: np.random.Generator, patients: int) -> Floats:
    return generator.normal(0, CASE_SD, patients)


def with_failures(generator: np.random.Generator, patients: int) -> Floats:
    """Return Dice values around 0.85, with 5 % failures at 0, minus their expected mean."""
    dice = np.where(generator.random(patients) < 0.05, 0.0, generator.beta(17, 3, patients))
    return dice - 0.95 * 17 / 20


def _panel(values: Floats) -> Panel:
    folds = _folds(values.shape[1])
    order = np.argsort(folds, kind="stable")
    return Panel(
        models=tuple("ab"[: len(values)]),
        patients=tuple(str(number) for number in range(len(folds))),
        folds=folds[order],
        sums=values[:, order],
        counts=np.ones_like(values),
    )


def _folds(patients: int) -> NDArray[np.int64]:
    return np.arange(patients) % FOLDS


def _below(p: float | Unknown) -> bool:
    return not isinstance(p, Unknown) and p < ALPHA


def _margin(repeats: int) -> float:
    return 100 * 1.96 * math.sqrt(0.05 * 0.95 / repeats)


def _print_table(columns: Sequence[str], measure: Callable[[int, float], dict[str, float]]) -> None:
    """Print a Markdown table with a line for each number of patients and noise of training."""
    print(f"| patients, noise of training | {' | '.join(columns)} |")
    print(f"|---|{'---:|' * len(columns)}")
    for patients, noise in itertools.product(PATIENTS, NOISES):
        percentages = [f"{value:.1f}" for value in measure(patients, noise).values()]
        print(f"| {patients}, SD {noise:g} | {' | '.join(percentages)} |", flush=True)


if __name__ == "__main__":
    main()
