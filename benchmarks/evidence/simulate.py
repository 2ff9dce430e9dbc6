"""Simulates how often each rule makes a false claim, finds a difference, covers it, or calls it too small.

    python benchmarks/evidence/simulate.py

Two models are compared on the same patients in several worlds: designs, amounts of noise and distributions. A
difference of patient i in fold f under seed s is gap + patient + fold + training(f, s) + rest. All figures are
percentages of the repeats:

    false       claims where the gap is 0, at a nominal 5 %
    power       claims of the true gap
    coverage    95 % intervals that contain the gap
    equivalent  claims of equivalence within 0.01 where the gap is 0.01, at a nominal 5 %

The rules are: `old`, the rule before this one (interval, signed-rank test and corrected test over folds must
agree); `Wilcoxon`, the signed-rank test of patients alone; `patients` and `folds`, Student's t over each;
`bootstrap`, percentiles of folds and patients drawn with replacement; `REML`, the mixed model with Satterthwaite's
degrees of freedom; `benchbench`, which differs from REML in the limit to the variance between folds and in the
correlation of folds; `oracle`, which knows every variance.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchbench.statistics import holm
from benchbench.statistics.noise import Noise, half_width, measure_noise, p_values

ALPHA, DELTA = 0.05, 0.01
PATIENT_SD, ASSUMED_SD = 0.05, 0.02
_DRAWS = 300  # of a bootstrap
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class World:
    """A design, and the truth that a comparison does not know."""

    name: str = ""
    patients: int = 100
    folds: int = 5
    seeds: int = 1
    fold_sd: float = 0.0
    """SD of the noise of training that the seeds of a fold share."""
    seed_sd: float = 0.0
    """SD of the noise of training of each seed."""
    rest_sd: float = 0.0
    """SD of what is left of a patient under a seed."""
    correlation: float = 0.0
    """Correlation of the noise of two folds."""
    distribution: str = "normal"
    gap: float = 0.02

    def __str__(self) -> str:
        text = f"{self.patients} x {self.folds} x {self.seeds}, fold {self.fold_sd:g}, seed {self.seed_sd:g}"
        if self.correlation:
            text += f", correlated {self.correlation:g}"
        if self.distribution != "normal":
            text += f", {self.distribution}"
        return text


class Sample(NamedTuple):
    """Many experiments of one world with a gap of 0."""

    values: Floats
    """(repeats, seeds, patients) differences."""
    folds: NDArray[np.int64]
    means: Floats
    error: float
    """True standard error of the means."""


class Outcome(NamedTuple):
    """p-values and half widths of a rule, one for each experiment."""

    p_of: Callable[[Floats], Floats]
    """Returns the two-sided p of each distance between a mean and the value that is tested."""
    half_widths: Floats | None
    """None for a rule without an interval."""


Rule = Callable[[Sample, World], Outcome]


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return generator.normal(size=shape)


def heavy_tails(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return values of Student's t with 3 degrees of freedom."""
    return generator.standard_t(3, shape)


def dice_with_failures(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return differences of two Dice values around 0.85, each with 5 % failures at 0."""
    sides = [np.where(generator.random(shape) < 0.05, 0.0, generator.beta(17, 3, shape)) for _ in range(2)]
    return sides[0] - sides[1]


def hd95_with_penalty(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Return differences of two distances around 5 mm, each with 2 % failures that count with 200 mm."""
    sides = [
        np.where(generator.random(shape) < 0.02, 200.0, generator.lognormal(1.6, 0.8, shape)) for _ in range(2)
    ]
    return sides[0] - sides[1]


DISTRIBUTIONS: Mapping[str, Callable[[np.random.Generator, tuple[int, ...]], Floats]] = {
    "normal": normal,
    "heavy tails": heavy_tails,
    "Dice with failures": dice_with_failures,
    "HD95 with penalty": hd95_with_penalty,
}


def draw(world: World, *, repeats: int, seed: int = 0) -> Sample:
    """Return experiments of a world; the patients' differences have a mean of 0 and an SD of 0.05."""
    generator = np.random.default_rng([seed, world.patients, world.folds, world.seeds])
    folds = np.sort(np.arange(world.patients) % world.folds)
    make = DISTRIBUTIONS[world.distribution]
    spread = 1.0 if make is normal else float(make(np.random.default_rng(1), (400_000,)).std())
    patients = make(generator, (repeats, 1, world.patients)) * PATIENT_SD / spread
    shared = math.sqrt(world.correlation) * generator.normal(size=(repeats, 1, 1))
    of_fold = math.sqrt(1 - world.correlation) * generator.normal(size=(repeats, 1, world.folds)) + shared
    trainings = world.fold_sd * of_fold + world.seed_sd * generator.normal(
        size=(repeats, world.seeds, world.folds)
    )
    values = patients + trainings[..., folds]
    if world.rest_sd:
        values = values + generator.normal(0, world.rest_sd, values.shape)
    return Sample(values, folds, values.mean(axis=(1, 2)), _true_error(world))


def _true_error(world: World) -> float:
    sizes = np.bincount(np.arange(world.patients) % world.folds)
    shares = np.square(sizes / world.patients).sum()
    of_folds = world.fold_sd**2 * (shares * (1 - world.correlation) + world.correlation)
    of_seeds = world.seed_sd**2 * shares / world.seeds
    of_patients = (PATIENT_SD**2 + world.rest_sd**2 / world.seeds) / world.patients
    return math.sqrt(of_folds + of_seeds + of_patients)


def _noise(sample: Sample) -> Noise:
    return measure_noise(sample.values, sample.folds, assumed_sd=ASSUMED_SD)


def benchbench(sample: Sample, _: World) -> Outcome:
    noise = _noise(sample)
    return Outcome(lambda distances: p_values(noise, distances), half_width(noise, ALPHA))


def _student(error: Floats, freedom: Floats | int) -> Outcome:
    def p_of(distances: Floats) -> Floats:
        return 2 * stats.t.sf(np.abs(distances) / error, freedom)

    return Outcome(p_of, stats.t.isf(ALPHA / 2, freedom) * error)


def oracle(sample: Sample, _: World) -> Outcome:
    return _student(np.full(len(sample.means), sample.error), 10**9)


def over_patients(sample: Sample, world: World) -> Outcome:
    of_patients = sample.values.mean(axis=1)
    return _student(of_patients.std(axis=1, ddof=1) / math.sqrt(world.patients), world.patients - 1)


def _fold_means(sample: Sample) -> Floats:
    sizes = np.bincount(sample.folds)
    starts = np.cumsum(sizes) - sizes
    return np.add.reduceat(sample.values.mean(axis=1), starts, axis=1) / sizes


def over_folds(sample: Sample, world: World) -> Outcome:
    if world.folds == 1:
        return over_patients(sample, world)
    return _student(_fold_means(sample).std(axis=1, ddof=1) / math.sqrt(world.folds), world.folds - 1)


def reml(sample: Sample, world: World) -> Outcome:
    """Return the mixed model of patients and folds: where the variance between folds is estimated as 0, pooled."""
    noise = _noise(sample)
    if world.folds == 1:
        return over_patients(sample, world)
    pooled, folds = noise.over_patients, replace(noise, correlation=0.0).over_folds
    is_zero = noise.folds < noise.patients + np.maximum(noise.seeds, 0)
    variance = np.where(is_zero, pooled.variance, folds.variance)
    return _student(np.sqrt(variance), np.where(is_zero, pooled.freedom, folds.freedom))


def wilcoxon(sample: Sample, _: World) -> Outcome:
    of_patients = sample.values.mean(axis=1)

    def p_of(distances: Floats) -> Floats:
        moved = of_patients + (distances - sample.means)[:, None]
        return np.asarray(stats.wilcoxon(moved, axis=1, zero_method="pratt", method="approx").pvalue)

    return Outcome(p_of, None)


def old(sample: Sample, world: World) -> Outcome:
    """Return the rule before: interval over folds, signed-rank test and corrected test over folds must agree."""
    means = _fold_means(sample)
    of_ranks, of_folds = wilcoxon(sample, world), over_folds(sample, world)
    if world.folds == 1:
        return Outcome(lambda distances: np.ones(len(distances)), of_folds.half_widths)
    corrected = math.sqrt(1 / world.folds + 1 / (world.folds - 1) / 0.8)
    of_correction = _student(means.std(axis=1, ddof=1) * corrected, world.folds - 1)
    interval = of_folds if world.folds > 2 else over_patients(sample, world)

    def p_of(distances: Floats) -> Floats:
        parts = [outcome.p_of(distances) for outcome in (of_ranks, interval, of_correction)]
        return np.max(parts, axis=0)

    return Outcome(p_of, interval.half_widths)


def bootstrap(sample: Sample, world: World) -> Outcome:
    """Return percentiles of the means of folds, and of patients within them, drawn with replacement."""
    generator = np.random.default_rng(0)
    of_patients = sample.values.mean(axis=1)
    starts = np.searchsorted(sample.folds, np.arange(world.folds))
    sizes = np.bincount(sample.folds)
    weights = np.zeros((_DRAWS, world.patients))
    for row in range(_DRAWS):
        for fold in generator.integers(world.folds, size=world.folds):
            drawn_patients = starts[fold] + generator.integers(sizes[fold], size=sizes[fold])
            weights[row] += np.bincount(drawn_patients, minlength=world.patients)
    drawn = of_patients @ (weights / weights.sum(axis=1, keepdims=True)).T
    errors = drawn.std(axis=1, ddof=1)
    widths = np.diff(np.quantile(drawn, [ALPHA / 2, 1 - ALPHA / 2], axis=1), axis=0)[0] / 2
    scale = widths / stats.norm.isf(ALPHA / 2)
    scale = np.where(errors > 0, scale, 1e-12)
    return Outcome(lambda distances: 2 * stats.norm.sf(np.abs(distances) / scale), widths)


RULES: Mapping[str, Rule] = {
    "old": old,
    "Wilcoxon": wilcoxon,
    "patients": over_patients,
    "folds": over_folds,
    "bootstrap": bootstrap,
    "REML": reml,
    "benchbench": benchbench,
    "oracle": oracle,
}


class Figures(NamedTuple):
    """Percentages of the experiments of one world."""

    false: float
    power: float
    coverage: float
    equivalent: float


def measure(rule: Rule, sample: Sample, world: World) -> Figures:
    """Return the figures of a rule; the gap is added to the same experiments."""
    outcome = rule(sample, world)
    covered = math.nan
    if outcome.half_widths is not None:
        covered = float((np.abs(sample.means) <= outcome.half_widths).mean())
    # the gap is on the border of what does not matter, so that every claim of equivalence is false
    estimates = sample.means + DELTA
    is_inside = np.abs(estimates) < DELTA
    p_above, p_below = outcome.p_of(DELTA - estimates), outcome.p_of(estimates + DELTA)
    is_equivalent = is_inside & (np.maximum(p_above, p_below) < 2 * ALPHA)
    shares = (
        (outcome.p_of(sample.means) < ALPHA).mean(),
        (outcome.p_of(sample.means + world.gap) < ALPHA).mean(),
        covered,
        is_equivalent.mean(),
    )
    return Figures(*(100 * float(share) for share in shares))


SIZES = ((20, 5), (50, 5), (100, 5), (300, 5), (100, 1), (100, 2), (100, 3), (100, 10), (300, 10))
FOLD_SDS = (0.0, 0.005, 0.01, 0.02)
TRAINING_SDS = ((0.0, 0.0), (0.0, 0.02), (0.01, 0.01))
"""SD of the noise that the seeds of a fold share, and of that of each seed."""
GAPS: Mapping[int, float] = {20: 0.03, 300: 0.01}
"""Number of patients -> a gap that is neither always nor never found; 0.02 for the others."""


def worlds() -> Iterator[World]:
    """Yield the worlds of the printed table."""
    for (patients, folds), fold_sd in itertools.product(SIZES, FOLD_SDS):
        yield World(patients=patients, folds=folds, fold_sd=fold_sd, gap=GAPS.get(patients, 0.02))
    for seeds, folds, (fold_sd, seed_sd) in itertools.product((3, 10), (1, 2, 5), TRAINING_SDS):
        yield World(folds=folds, seeds=seeds, fold_sd=fold_sd, seed_sd=seed_sd, rest_sd=0.02)
    for correlation, patients, fold_sd in itertools.product((0.05, 0.1), (100, 300), (0.01, 0.02)):
        yield World(patients=patients, fold_sd=fold_sd, correlation=correlation)
    for distribution, patients, fold_sd in itertools.product(
        list(DISTRIBUTIONS)[1:], (20, 50, 100, 300), (0.0, 0.01)
    ):
        gap = GAPS.get(patients, 0.02)
        yield World(patients=patients, fold_sd=fold_sd, distribution=distribution, gap=gap)


def gaps() -> Iterator[World]:
    """Yield worlds that differ in the gap alone."""
    for fold_sd in (0.0, 0.01):
        for gap in (0.005, 0.01, 0.015, 0.02, 0.025, 0.03):
            yield World(fold_sd=fold_sd, gap=gap)


def family_wise_errors(*, repeats: int, fold_sd: float, models: int = 6) -> float:
    """Return the percentage of experiments with any false claim among all pairs of equal models, by Holm."""
    patients, folds = 100, 5
    generator = np.random.default_rng([models, patients, round(1e4 * fold_sd)])
    folds_of = np.sort(np.arange(patients) % folds)
    values = generator.normal(0, PATIENT_SD / math.sqrt(2), (repeats, models, patients))
    values += generator.normal(0, fold_sd / math.sqrt(2), (repeats, models, folds))[..., folds_of]
    by_pair: list[Floats] = []
    for first in range(models):
        for second in range(first):
            pair = values[:, None, first] - values[:, None, second]
            noise = measure_noise(pair, folds_of, assumed_sd=ASSUMED_SD)
            by_pair.append(p_values(noise, pair.mean(axis=(1, 2))))
    claims = [min(holm(line.tolist())) < ALPHA for line in np.stack(by_pair, axis=1)]
    return 100 * float(np.mean(claims))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=4000)
    options = parser.parse_args()
    repeats = options.repeats
    margin = 100 * 1.96 * math.sqrt(0.05 * 0.95 / repeats)
    print(f"{repeats} repeats; a share of 5 % is known to +-{margin:.1f} points")
    print("worlds: patients x folds x seeds, SD of the noise of folds and of seeds\n")
    began = time.monotonic()
    every_world = [*worlds(), *gaps()]
    figures: list[dict[str, Figures]] = []
    for world in every_world:
        sample = draw(world, repeats=repeats)
        figures.append({name: measure(rule, sample, world) for name, rule in RULES.items()})
    for place, title in enumerate(Figures._fields):
        _print_table(title, place, every_world, figures)
    print("### Any false claim among the 15 pairs of 6 models, %\n")
    for fold_sd in (0.0, 0.005, 0.01, 0.02):
        errors = family_wise_errors(repeats=repeats // 4, fold_sd=fold_sd)
        print(f"fold {fold_sd:g}: {errors:.1f}")
    print(f"\n{time.monotonic() - began:.0f} s")


def _print_table(
    title: str, place: int, every_world: Sequence[World], figures: Sequence[Mapping[str, Figures]]
) -> None:
    print(f"### {title}, %\n")
    print(f"| world | gap | {' | '.join(RULES)} |")
    print(f"|---|---:|{'---:|' * len(RULES)}")
    for world, by_rule in zip(every_world, figures, strict=True):
        cells = [_cell(by_rule[name][place]) for name in RULES]
        print(f"| {world} | {world.gap:g} | {' | '.join(cells)} |")
    print(flush=True)


def _cell(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.1f}"


if __name__ == "__main__":
    main()
