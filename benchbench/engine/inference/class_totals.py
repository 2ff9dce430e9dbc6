"""Adds up what a softmax says of every class, background included, over the cases of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchbench.engine.inference.counting import count_voxels, with_background
from benchbench.engine.network.losses import region_masks
from benchbench.engine.preparation.prepare import PreparedCase
from benchbench.images.arrays import Mask
from benchbench.metrics.class_scores import BACKGROUND, class_scores

_LEAST = 1e-7  # a probability of 0 would make one voxel's cross-entropy infinite


class ClassTotals:
    """Counts, and cross-entropy, of the voxels of all cases together."""

    def __init__(self, regions: Sequence[str]) -> None:
        self._classes = (BACKGROUND, *regions)
        self._counts = np.zeros((len(self._classes), 4), dtype=np.int64)
        self._entropy = np.zeros(len(self._classes))
        self._voxels = 0

    def add(self, prepared: PreparedCase, probabilities: Tensor, masks: Mask) -> None:
        """A case: probabilities (1 + K, *kept) as a predictor gives them, masks of its whole grid (S, K, H, W)."""
        native, regions = prepared.native_label(), masks.shape[1]
        reference = with_background(region_masks(torch.from_numpy(native), regions))
        self._counts += count_voxels(reference, with_background(torch.from_numpy(masks))).sum(0).numpy()
        kept = torch.from_numpy(prepared.frame.crop(native)).to(probabilities.device)
        truth = with_background(region_masks(kept[None], regions))[0]
        costs = -probabilities.clamp(min=_LEAST).log() * truth
        self._entropy += costs.flatten(1).double().sum(1).cpu().numpy()
        self._voxels += kept.numel()

    def scores(self) -> dict[str, float]:
        """Scores of classes, and each class's share of the mean cross-entropy: the shares add up to it.

        Cross-entropy is in nats, of the part of the grid that is predicted; without a class, the mean share.
        """
        shares = self._entropy / self._voxels
        named = {
            f"test_cross_entropy:{name}": float(share) for name, share in zip(self._classes, shares, strict=True)
        }
        return {
            **class_scores(self._counts, self._classes, part="test"),
            "test_cross_entropy": float(shares.mean()),
            **named,
        }
