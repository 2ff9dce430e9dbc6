"""Resamples folds and, in them, patients: what might have come out of other training runs on other patients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchbench.images.arrays import Floats
from benchbench.statistics.panel import Panel

DRAWS = 10_000
_CELLS = 4_000_000  # patients times draws held at a time


def resampled_means(panel: Panel, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """(draws, M): mean over all cases, of every model on the same resampled folds and patients.

    Folds are drawn with replacement, then as many patients as each has, with all their cases. Seeds are not drawn:
    every seed scores the same patients, so that drawing patients anew for each seed would count a patient's
    peculiarity as many times as there are seeds; the noise of training is in the differences between folds.
    """
    generator = np.random.default_rng(seed)
    sizes = np.bincount(panel.folds)
    starts = np.cumsum(sizes) - sizes
    means = [_of(weights, panel) for weights in _weights(generator, sizes, starts, draws)]
    return np.concatenate(means)


def _weights(
    generator: np.random.Generator, sizes: np.ndarray, starts: np.ndarray, draws: int
) -> Iterator[Floats]:
    """(some draws, P): how many times each patient was drawn."""
    patients, folds, largest = int(sizes.sum()), len(sizes), int(sizes.max())
    block = max(1, _CELLS // patients)
    for first in range(0, draws, block):
        rows = min(block, draws - first)
        weights = np.zeros(rows * patients)
        for _ in range(folds):
            fold = generator.integers(folds, size=(rows, 1))
            chosen = starts[fold] + (generator.random((rows, largest)) * sizes[fold]).astype(np.int64)
            cells = (np.arange(rows)[:, None] * patients + chosen)[np.arange(largest) < sizes[fold]]
            weights += np.bincount(cells, minlength=rows * patients)
        yield weights.reshape(rows, patients)


def _of(weights: Floats, panel: Panel) -> Floats:
    means: Floats = (weights @ panel.sums.T) / (weights @ panel.counts.T)
    return means
