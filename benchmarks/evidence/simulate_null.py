"""How often a difference is claimed where there is none, and how often an interval holds the truth.

    python benchmarks/evidence/simulate_null.py

Two models of equal worth are made up, again and again, on the same patients in five folds: a patient is easy or
hard for both, each model has luck of its own with every patient and, as in training, with every fold (`noise`).
Each rule makes its claims at a nominal 5 %: every claim is false. For the intervals one model is made up, and
those that hold the true mean are counted: at 95 % nominal, 93 to 97 % is what is wanted.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable

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
    _print_table(RULES, lambda n, noise: false_claims(n, noise, repeats=options.repeats, draws=options.draws))
    for title, draw in (("normal", normal), ("skewed: Dice with 5 % failures at 0", with_failures)):
        print(f"\nIntervals that hold the true mean, %: {title}")
        _print_table(METHODS, lambda n, noise: coverage(n, noise, draw, options.repeats, options.draws))  # noqa: B023


RULES: dict[str, Callable[[Comparison], bool]] = {
    "signed-rank test of patients alone": lambda found: _below(found.p_wilcoxon),
    "interval": lambda found: isinstance(found.interval, Interval) and not found.interval.spans_zero,
    "test over folds": lambda found: _below(found.p_folds),
    "all three: what benchbench claims": lambda found: found.is_separable,
}
METHODS = ("t", "percentile", "hierarchical")


def false_claims(patients: int, noise: float, *, repeats: int, draws: int) -> dict[str, float]:
    """Per cent of repeats in which each rule claims a difference."""
    claims = dict.fromkeys(RULES, 0)
    for repeat in range(repeats):
        generator = np.random.default_rng([repeat, patients, round(1e4 * noise)])
        shared = 0.8 + generator.normal(0, 0.1, patients)
        # half of the variance of the difference is each model's
        values = shared + generator.normal(0, CASE_SD / math.sqrt(2), (2, patients))
        luck = generator.normal(0, noise / math.sqrt(2), (2, FOLDS))
        found = compare(_panel(values + luck[:, _folds(patients)]), "a", "b", rope=0.01, draws=draws, seed=repeat)
        for rule, claim in RULES.items():
            claims[rule] += claim(found)
    return {rule: 100 * count / repeats for rule, count in claims.items()}


def coverage(
    patients: int, noise: float, draw: Callable[[np.random.Generator, int], Floats], repeats: int, draws: int
) -> dict[str, float]:
    """Per cent of repeats in which the interval of each method holds the mean that values are drawn around, 0."""
    held = dict.fromkeys(METHODS, 0)
    for repeat in range(repeats):
        generator = np.random.default_rng([repeat, patients, round(1e4 * noise)])
        values = draw(generator, patients) + generator.normal(0, noise, FOLDS)[_folds(patients)]
        panel = _panel(values[None])
        for method in METHODS:
            found = mean_interval(panel, method=method, draws=draws, seed=repeat)
            held[method] += isinstance(found, Interval) and found.spans_zero
    return {method: 100 * count / repeats for method, count in held.items()}


def normal(generator: np.random.Generator, patients: int) -> Floats:
    return generator.normal(0, CASE_SD, patients)


def with_failures(generator: np.random.Generator, patients: int) -> Floats:
    """Dice of 0.85 or so, and 0 where the model failed; the mean taken off."""
    dice = np.where(generator.random(patients) < 0.05, 0.0, generator.beta(17, 3, patients))
    return dice - 0.95 * 17 / 20


def _panel(values: Floats) -> Panel:
    patients = values.shape[1]
    order = np.argsort(_folds(patients), kind="stable")
    return Panel(
        models=tuple("ab"[: len(values)]),
        patients=tuple(map(str, range(patients))),
        folds=_folds(patients)[order],
        sums=values[:, order],
        counts=np.ones_like(values),
    )


def _folds(patients: int) -> NDArray[np.int64]:
    return np.arange(patients) % FOLDS


def _below(p: float | Unknown) -> bool:
    return not isinstance(p, Unknown) and p < ALPHA


def _margin(repeats: int) -> float:
    return 100 * 1.96 * math.sqrt(0.05 * 0.95 / repeats)


def _print_table(rows: object, measure: Callable[[int, float], dict[str, float]]) -> None:
    points = list(itertools.product(PATIENTS, NOISES))
    columns = {point: measure(*point) for point in points}
    print("| patients, noise of training | " + " | ".join(map(str, rows)) + " |")
    print("|---|" + "---:|" * len(columns[points[0]]))
    for (patients, noise), shares in columns.items():
        print(
            f"| {patients}, SD {noise:g} | " + " | ".join(f"{share:.1f}" for share in shares.values()) + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
