"""Simulates how often each rule makes a false claim, finds a difference, covers it, or calls it too small.

    python benchmarks/evidence/simulate.py
    python benchmarks/evidence/simulate.py --rules folds benchbench --repeats 20000 --allowance 0.1

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
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from simulate_rules import ALPHA, ASSUMED_SD, RULES, Rule
from simulate_worlds import PATIENT_SD, Floats, Sample, World, draw, gaps, worlds

from benchbench.statistics import holm
from benchbench.statistics.noise import measure_noise, p_values

DELTA = 0.01
"""Difference that does not matter."""


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
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument(
        "--allowance", type=float, help="correlation of folds that benchbench assumes, in units of 1 / folds"
    )
    options = parser.parse_args()
    with _allowance(options.allowance):
        _simulate(options.rules, options.repeats)


def _allowance(value: float | None) -> AbstractContextManager[object]:
    """Return a block in which benchbench assumes this correlation of folds; None changes nothing."""
    return nullcontext() if value is None else patch("benchbench.statistics.pooling._OVERLAP", value)


def _simulate(names: Sequence[str], repeats: int) -> None:
    rules = {name: RULES[name] for name in names}
    margin = 100 * 1.96 * math.sqrt(0.05 * 0.95 / repeats)
    print(f"{repeats} repeats; a share of 5 % is known to +-{margin:.1f} points")
    print("worlds: patients x folds x seeds, SD of the noise of folds and of seeds\n")
    began = time.monotonic()
    every_world = [*worlds(), *gaps()]
    figures: list[dict[str, Figures]] = []
    for world in every_world:
        sample = draw(world, repeats=repeats)
        figures.append({name: measure(rule, sample, world) for name, rule in rules.items()})
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
    names = list(figures[0])
    print(f"| world | gap | {' | '.join(names)} |")
    print(f"|---|---:|{'---:|' * len(names)}")
    for world, by_rule in zip(every_world, figures, strict=True):
        cells = [_cell(by_rule[name][place]) for name in names]
        print(f"| {world} | {world.gap:g} | {' | '.join(cells)} |")
    print(flush=True)


def _cell(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.1f}"


if __name__ == "__main__":
    main()
