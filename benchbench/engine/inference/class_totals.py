"""Counts and cross-entropy of every class of a softmax, background included, over the test cases of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchbench.engine.inference.counting import count_regions
from benchbench.engine.inference.predict import native_bits
from benchbench.engine.network.regions import region_masks, scored_voxels, with_background
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import Mask
from benchbench.metrics.class_scores import BACKGROUND, class_scores

_LOWEST_PROBABILITY = 1e-7  # with a probability of 0 the cross-entropy of one voxel would be infinite


class ClassTotals:
    """Sums over the voxels of all cases together."""

    def __init__(self, regions: Sequence[str]) -> None:
        self._classes = (BACKGROUND, *regions)
        self._counts = np.zeros((len(self._classes), 4), dtype=np.int64)
        self._entropy = np.zeros(len(self._classes))
        self._voxels = 0

    def add(self, prepared: PreparedCase, probabilities: Tensor, masks: Mask) -> None:
        """Add a case: probabilities (1 + K, *cropped) of a predictor, masks (S, K, H, W) of the whole grid.

        Ignored voxels are left out. A class without label has no counts; what is predicted as it counts as
        background, and its probability as that of the background.
        """
        regions = masks.shape[1]
        native = native_bits(prepared)
        counts = count_regions(torch.from_numpy(masks), native, has_background=True)
        self._counts += counts.sum(0).numpy()
        probabilities = _with_unlabelled_as_background(probabilities, prepared.labelled(regions))
        cropped = torch.from_numpy(prepared.frame.crop(prepared.native_label()))[None].to(probabilities.device)
        scored = scored_voxels(cropped, regions)
        classes = with_background(region_masks(cropped, regions)) & scored[:, None]
        entropy = -probabilities.clamp(min=_LOWEST_PROBABILITY).log() * classes[0]
        self._entropy += entropy.flatten(1).double().sum(1).cpu().numpy()
        self._voxels += int(scored.sum())

    def scores(self) -> dict[str, float]:
        """Return the scores of the classes, and the share that each class has of the mean cross-entropy.

        Cross-entropy is in nats, over the cropped part of the grid. The entry without a class is the mean of the
        shares; their sum is the mean cross-entropy of a voxel.
        """
        shares = self._entropy / self._voxels
        scores = class_scores(self._counts, self._classes, part="test")
        scores["test_cross_entropy"] = float(shares.mean())
        for name, share in zip(self._classes, shares, strict=True):
            scores[f"test_cross_entropy:{name}"] = float(share)
        return scores


def _with_unlabelled_as_background(probabilities: Tensor, labelled: Mask) -> Tensor:
    """Return probabilities (1 + K, *space) in which those of classes without label (K,) are background."""
    if labelled.all():
        return probabilities
    is_labelled = torch.from_numpy(labelled).to(probabilities.device)
    background = probabilities[0] + probabilities[1:][~is_labelled].sum(0)
    classes = probabilities[1:] * is_labelled.view(-1, *[1] * (probabilities.ndim - 1))
    return torch.cat([background[None], classes])
