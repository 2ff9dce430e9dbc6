"""Resamples folds and, within them, patients: the means that other training runs on other patients could give.

Written here because no library resamples on two levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from benchbench.images.arrays import Floats, Integers
from benchbench.statistics.panel import Panel

DRAWS = 10_000
_CELLS = 4_000_000  # patients times draws in memory at once


def resampled_means(panel: Panel, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Return (draws, M) means over all cases, of every model on the same resampled folds and patients.

    Folds are drawn with replacement, then as many patients as each has, with all their cases. Seeds are not drawn:
    every seed scores the same patients, so that drawing patients for each seed separately would count the
    peculiarity of a patient once for each seed. The noise of training is in the differences between folds.
    """
    means: list[Floats] = []
    for weights in _weights(np.bincount(panel.folds), draws, seed):
        sums = weights @ panel.sums.T
        means.append(sums / (weights @ panel.counts.T))
    return np.concatenate(means)


def _weights(sizes: Integers, draws: int, seed: int) -> Iterable[Floats]:
    """Return (some draws, P) numbers of times that each patient was drawn; `sizes` are patients per fold."""
    if int(sizes.sum()) * draws <= _CELLS:
        return _shared_weights(tuple(sizes.tolist()), draws, seed)
    return _draw_weights(sizes, draws, seed)


@lru_cache(maxsize=1)
def _shared_weights(sizes: Sequence[int], draws: int, seed: int) -> tuple[Floats, ...]:
    """Return the weights that fit into memory; the models of a board share them."""
    return tuple(_draw_weights(np.array(sizes), draws, seed))


def _draw_weights(sizes: Integers, draws: int, seed: int) -> Iterator[Floats]:
    generator = np.random.default_rng(seed)
    patients, folds, largest = int(sizes.sum()), len(sizes), int(sizes.max())
    first_patients = np.cumsum(sizes) - sizes
    block = max(1, _CELLS // patients)
    for first in range(0, draws, block):
        rows = min(block, draws - first)
        row_starts = np.arange(rows)[:, None] * patients
        weights = np.zeros(rows * patients)
        for _ in range(folds):
            fold = generator.integers(folds, size=(rows, 1))
            within_fold = (generator.random((rows, largest)) * sizes[fold]).astype(np.int64)
            is_drawn = np.arange(largest) < sizes[fold]
            cells = (row_starts + first_patients[fold] + within_fold)[is_drawn]
            weights += np.bincount(cells, minlength=rows * patients)
        yield weights.reshape(rows, patients)
