"""The smallest difference that a design would show with 80 % power, and the design that would show a given one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from benchbench.images.arrays import Floats
from benchbench.statistics.noise import Components, Design, Noise, half_width
from benchbench.statistics.pooling import fold_correlation

POWER = 0.8
ALPHA = 0.05
_EXPERIMENTS = 2000
_MOST_PATIENTS, _MOST_SEEDS, _MOST_FOLDS = 100_000, 20, 20
_GROWTH = 1.1  # between two numbers of patients that are tried


def detectable_difference(
    parts: Components, design: Design, *, assumed_sd: float = 0.0, seed: int = 0, level: float = ALPHA
) -> float:
    """Return the true difference that 80 % of experiments of this design would show at this level.

    The mean squares of many experiments are drawn, and the rule of `noise` is applied to each. An unknown
    component counts as 0.
    """
    noise, errors = draw_noise(parts, design, assumed_sd=assumed_sd, seed=seed)
    return float(np.quantile(half_width(noise, level) - errors, POWER))


def draw_noise(
    parts: Components, design: Design, *, assumed_sd: float = 0.0, seed: int = 0, experiments: int = _EXPERIMENTS
) -> tuple[Noise, Floats]:
    """Return the noise that experiments with these components would measure, and the error of their means."""
    patients, folds, seeds, rest = (float(np.nan_to_num(part)) ** 2 for part in parts)
    n_patients, n_folds, n_seeds = design.patients, design.folds, design.seeds
    size = n_patients / n_folds
    of_patients = patients + rest / n_seeds
    of_seeds = size * seeds / n_seeds
    of_folds = of_patients + of_seeds + size * folds
    standard = _draw_standard(design, seed, experiments)
    noise = Noise(
        design=design,
        patients=of_patients * standard[0],
        folds=of_folds * standard[1] if n_folds > 1 else of_patients * standard[0],
        seeds=(of_seeds + rest / n_seeds) * standard[2] - rest / n_seeds * standard[3],
        rest=rest / n_seeds * standard[3],
        assumed_sd=assumed_sd,
        correlation=fold_correlation(n_folds),
    )
    # the SD of a single split is not known, and its noise is in no component
    of_split = assumed_sd**2 * n_patients if n_folds == 1 else 0.0
    errors = np.sqrt((of_folds + of_split) / n_patients) * standard[4]
    return noise, errors


@lru_cache(maxsize=256)
def _draw_standard(design: Design, seed: int, experiments: int) -> tuple[Floats, ...]:
    """Return mean squares with an expectation of 1, of patients, folds, seeds and rest, and normal errors."""
    generator = np.random.default_rng(seed)
    within = max(design.patients - design.folds, 1)
    freedoms = (within, max(design.folds - 1, 1), design.trainings - design.folds, within * (design.seeds - 1))
    squares: list[Floats] = []
    for freedom in freedoms:
        if freedom < 1:
            squares.append(np.zeros(experiments))
        else:
            squares.append(generator.chisquare(freedom, experiments) / freedom)
    return (*squares, generator.normal(size=experiments))


def needed_designs(
    parts: Components, design: Design, difference: float, *, assumed_sd: float = 0.0, comparisons: int = 1
) -> Iterator[tuple[str, int]]:
    """Yield what would show a difference: ("patients", 40), ("seeds", 3) or ("folds", 5), the rest as it is.

    What would not show it, at any number that is tried, is left out. The level is that of the strictest of several
    comparisons.
    """

    def shows(changed: Design) -> bool:
        return (
            detectable_difference(parts, changed, assumed_sd=assumed_sd, level=ALPHA / comparisons) <= difference
        )

    largest = {"patients": _MOST_PATIENTS, "seeds": _MOST_SEEDS, "folds": min(_MOST_FOLDS, design.patients // 2)}
    for what, most in largest.items():

        def shows_with(number: int, what: str = what) -> bool:
            return shows(design._replace(**{what: number}))

        number = _search(shows_with, getattr(design, what), most)
        if number is not None:
            yield what, number


def _search(shows: Callable[[int], bool], now: int, most: int) -> int | None:
    """Return the smallest number that shows the difference, to about a tenth; None if none does."""
    if most <= now or not shows(most):
        return None
    low, high = now, most
    while high > low + 1 and high > low * _GROWTH:
        middle = max(low + 1, round(np.sqrt(low * high)))
        if shows(middle):
            high = middle
        else:
            low = middle
    return high
