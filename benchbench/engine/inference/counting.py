"""True and false positives and negatives of predicted masks, counted on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from benchbench.engine.network.regions import masks_of_logits, region_masks, scored_voxels, with_background
from benchbench.spec.protocol import Protocol


def count_voxels(reference: Tensor, prediction: Tensor, scored: Tensor) -> Tensor:
    """Return tp, fp, fn, tn of each sample and region, int64 (B, K, 4), for two bool masks (B, K, *space).

    `scored`, bool (B, *space), is False in ignored voxels, which are not counted.
    """
    axes = tuple(range(2, reference.ndim))
    reference = reference & scored[:, None]
    prediction = prediction & scored[:, None]
    tp = (reference & prediction).sum(axes)
    fp = prediction.sum(axes) - tp
    fn = reference.sum(axes) - tp
    voxels = scored.flatten(1).sum(1)[:, None]
    tn = voxels - tp - fp - fn
    return torch.stack([tp, fp, fn, tn], -1)


def count_logits(logits: Tensor, labels: Tensor, protocol: Protocol, *, regions: int) -> Tensor:
    """Return tp, fp, fn, tn of logits (B, K, *space) against bit masks (B, *space): int64 (B, K, 4).

    With a softmax they are counted for every class, (B, 1 + K, 4), background first.
    """
    reference = region_masks(labels, regions)
    prediction = masks_of_logits(logits, protocol.activation)
    if protocol.activation == "softmax":
        reference, prediction = with_background(reference), with_background(prediction)
    return count_voxels(reference, prediction, scored_voxels(labels, regions))


def counted_classes(protocol: Protocol, regions: int) -> int:
    """Return the number of regions, or of classes with a softmax, that `count_logits` counts."""
    return regions + 1 if protocol.activation == "softmax" else regions
