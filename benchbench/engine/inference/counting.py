"""True and false positives and negatives of predicted masks, counted on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from benchbench.engine.network.losses import predicted_masks, region_masks
from benchbench.spec.protocol import Protocol


def count_voxels(reference: Tensor, predicted: Tensor) -> Tensor:
    """tp, fp, fn, tn of each sample and region: two bool (B, K, *space) -> int64 (B, K, 4)."""
    axes = tuple(range(2, reference.ndim))
    tp = (reference & predicted).sum(axes)
    positive, found = reference.sum(axes), predicted.sum(axes)
    voxels = reference[0, 0].numel()
    return torch.stack([tp, found - tp, positive - tp, voxels - positive - found + tp], -1)


def count_predicted(logits: Tensor, labels: Tensor, protocol: Protocol, *, regions: int) -> Tensor:
    """tp, fp, fn, tn of logits (B, K, *space) against bit masks (B, *space): int64 (B, K, 4).

    Of a softmax they are of every class (B, 1 + K, 4), background first.
    """
    reference, predicted = region_masks(labels, regions), predicted_masks(logits, protocol.activation)
    if protocol.activation == "softmax":
        reference, predicted = with_background(reference), with_background(predicted)
    return count_voxels(reference, predicted)


def counted(protocol: Protocol, regions: int) -> int:
    """How many regions, or classes, `count_predicted` counts."""
    return regions + (protocol.activation == "softmax")


def with_background(masks: Tensor) -> Tensor:
    """Disjoint regions (B, K, *space) -> every class (B, 1 + K, *space), background first."""
    return torch.cat([~masks.any(1, keepdim=True), masks], 1)
