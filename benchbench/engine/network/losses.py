"""Losses of the protocol, on logits.

MONAI has these losses too, but its Dice takes sums over the samples of one process only, not over a batch that
several processes share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor

from benchbench.engine.network.regions import region_masks, with_background
from benchbench.spec.protocol import Loss

SumOverBatch = Callable[[Tensor], Tensor]
"""Returns sums over the whole batch for sums over the samples of this process."""

_SMOOTH = 1.0
_FOCAL_GAMMA = 2.0


def whole_batch_is_here(sums: Tensor) -> Tensor:
    """Return sums unchanged, as a single process does."""
    return sums


def compute_loss(
    name: Loss, logits: Tensor, labels: Tensor, *, sum_over_batch: SumOverBatch = whole_batch_is_here
) -> Tensor:
    """Return a loss of the protocol, a scalar, computed in float32.

    logits (B, K, *space) for sigmoid losses, (B, 1 + K, *space) with background first for softmax losses; labels
    (B, *space), bit masks.

    The terms of a sum have equal weights. Dice is soft and takes its sums over the whole batch, so that a batch
    without foreground has a gradient that is neither zero nor unbounded.

    Source: Dice loss of Milletari et al. 2016, arXiv:1606.04797, denominator without squares, smoothed by 1 as in
    Buda et al. 2019; focal loss of Lin et al. 2017, arXiv:1708.02002, gamma 2, without alpha.
    """
    logits = logits.float()
    if name.startswith("ce"):
        return _softmax_loss(name, logits, labels, sum_over_batch)
    masks = region_masks(labels, logits.shape[1]).float()  # (B, K, *space)
    terms = []
    if "bce" in name:
        terms.append(F.binary_cross_entropy_with_logits(logits, masks))
    if "focal" in name:
        terms.append(_focal(logits, masks))
    if "dice" in name:
        terms.append(_dice(logits.sigmoid(), masks, sum_over_batch))
    return torch.stack(terms).sum()


def deep_supervision_loss(
    name: Loss,
    heads: Sequence[Tensor],
    labels: Tensor,
    *,
    sum_over_batch: SumOverBatch = whole_batch_is_here,
) -> Tensor:
    """Return the loss of the logits of several heads, finest first; the weights halve and add up to 1.

    Labels (B, *space) are resized to each head by nearest neighbours.
    """
    weights = [0.5**level for level in range(len(heads))]
    terms = []
    for weight, head in zip(weights, heads, strict=True):
        resized = _resized(labels, head.shape[2:])
        terms.append(weight * compute_loss(name, head, resized, sum_over_batch=sum_over_batch))
    return torch.stack(terms).sum() / sum(weights)


def _resized(labels: Tensor, size: torch.Size) -> Tensor:
    if labels.shape[1:] == size:
        return labels
    resized = F.interpolate(labels[:, None].float(), size=size, mode="nearest-exact")
    return resized[:, 0].to(labels.dtype)


def _softmax_loss(name: Loss, logits: Tensor, labels: Tensor, sum_over_batch: SumOverBatch) -> Tensor:
    masks = region_masks(labels, logits.shape[1] - 1)
    classes = with_background(masks)  # (B, 1 + K, *space)
    loss = F.cross_entropy(logits, classes.to(torch.uint8).argmax(1))
    if "dice" in name:
        foreground = logits.softmax(1)[:, 1:]
        loss = loss + _dice(foreground, masks.float(), sum_over_batch)
    return loss


def _focal(logits: Tensor, masks: Tensor) -> Tensor:
    entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    return ((1 - torch.exp(-entropy)) ** _FOCAL_GAMMA * entropy).mean()


def _dice(probabilities: Tensor, masks: Tensor, sum_over_batch: SumOverBatch) -> Tensor:
    axes = [0, *range(2, masks.ndim)]
    overlap = (probabilities * masks).sum(axes)
    total = probabilities.sum(axes) + masks.sum(axes)
    overlap, total = sum_over_batch(torch.stack([overlap, total]))
    return (1 - (2 * overlap + _SMOOTH) / (total + _SMOOTH)).mean()
