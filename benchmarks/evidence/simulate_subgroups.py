"""Simulates how often a subgroup without a bias is called different, and how often a planted bias is detected.

    python benchmarks/evidence/simulate_subgroups.py

Two models are scored on 100 patients in five folds. Eight subgroups of metadata, four of them of one column, have
no relation to the scores; a bias is then planted in one subgroup of the second model. `false` is the percentage of
experiments with any false claim among the 16 pairs of subgroup and model, at a nominal 5 %; `power` is that of
experiments that find the bias; `coverage` is that of experiments in which all intervals contain the true values.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from numpy.typing import NDArray

from benchbench.statistics import Panel
from benchbench.statistics.subgroups import subgroup_differences

PATIENTS, FOLDS, BIASED = 100, 5, 6
Floats = NDArray[np.float64]


def normal(generator: np.random.Generator) -> Floats:
    return generator.normal(0.85, 0.05, (2, PATIENTS))


def dice_with_failures(generator: np.random.Generator) -> Floats:
    """Return Dice around 0.85 with 5 % failures at 0, half of them common to both models."""
    common = generator.random(PATIENTS) < 0.025
    has_failed = common | (generator.random((2, PATIENTS)) < 0.025)
    return np.where(has_failed, 0.0, generator.beta(17, 3, (2, PATIENTS)))


def hd95_with_penalty(generator: np.random.Generator) -> Floats:
    """Return distances around 5 mm with 2 % failures that count with 200 mm, in units of an SD of about 0.05."""
    has_failed = generator.random((2, PATIENTS)) < 0.02
    return np.where(has_failed, 200.0, generator.lognormal(1.6, 0.8, (2, PATIENTS))) / 600


def draw_members(generator: np.random.Generator) -> NDArray[np.bool_]:
    """Return (8, PATIENTS): the values of a column with four, then both values of two columns."""
    four = generator.integers(4, size=PATIENTS)
    first, second = generator.random((2, PATIENTS)) < np.array([[0.5], [0.3]])
    return np.stack([*(four == value for value in range(4)), first, ~first, second, ~second])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    print(f"{repeats} repeats; a share of 5 % is known to +-{196 * math.sqrt(0.05 * 0.95 / repeats):.1f} points")
    folds = np.sort(np.arange(PATIENTS) % FOLDS)
    names = tuple(map(str, range(PATIENTS)))
    print("| world | SD of the noise of folds | bias | false | power | coverage |")
    print("|---|---:|---:|---:|---:|---:|")
    for make in (normal, dice_with_failures, hd95_with_penalty):
        for fold_sd, bias in ((0.0, 0.05), (0.02, 0.05)):
            generator = np.random.default_rng([repeats, round(1000 * fold_sd)])
            false = detected = covered = 0
            for _ in range(repeats):
                values = make(generator) + generator.normal(0, fold_sd, (2, FOLDS))[:, folds]
                members = draw_members(generator)
                for planted in (0.0, bias):
                    values[1] -= planted * members[BIASED]
                    panel = Panel(
                        models=("first", "second"),
                        patients=names,
                        folds=folds,
                        sums=values,
                        counts=np.ones_like(values),
                    )
                    compared = subgroup_differences(panel, members, permutations=499)
                    if planted:
                        detected += bool(compared.p[BIASED, 1] < 0.05)
                    else:
                        false += bool(compared.p.min() < 0.05)
                        covered += bool((np.abs(compared.differences) <= compared.half_widths).all())
            shares = " | ".join(f"{100 * count / repeats:.1f}" for count in (false, detected, covered))
            print(f"| {make.__name__} | {fold_sd:g} | {bias:g} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
