"""Predictions against each reader of a case, and the readers against one another."""

from __future__ import annotations

from itertools import combinations

import torch

from benchbench.engine.inference.predict import count_against
from benchbench.engine.network.regions import region_masks
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import BitMasks, Integers, Mask
from benchbench.run.count_tables import Pair

PREDICTION = "prediction"
"""Name of the rater that is the model."""


def count_readers(prepared: PreparedCase, masks: Mask) -> dict[Pair, Integers]:
    """Return counts (S, K, 4) of masks (S, K, H, W) against each reader, then of each pair of readers."""
    labels = prepared.reader_labels()
    counts = {(PREDICTION, reader): count_against(prepared, masks, bits) for reader, bits in labels.items()}
    for first, second in combinations(labels, 2):
        as_prediction = _masks(labels[first], masks.shape[1])
        counts[first, second] = count_against(prepared, as_prediction, labels[second])
    return counts


def _masks(bits: BitMasks, regions: int) -> Mask:
    masks: Mask = region_masks(torch.from_numpy(bits), regions).numpy()
    return masks
