"""Worlds of experiments with known noise: designs, amounts of noise and distributions of differences.

A difference of patient i in fold f under seed s is gap + patient + fold + training(f, s) + rest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PATIENT_SD = 0.05
"""SD of the differences of patients."""
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
