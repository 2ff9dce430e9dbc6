"""Losses on logits, and the targets they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor

from benchbench.spec.protocol import Activation, Loss

Summed = Callable[[Tensor], Tensor]
"""Sums over the samples at hand -> sums over the whole batch, of which other processes have the rest."""

_SMOOTH = 1.0
_FOCUS = 2.0


def region_masks(labels: Tensor, regions: int) -> Tensor:
    """Bit masks (B, *space) -> one mask a region (B, K, *space), bool."""
    bits = torch.arange(regions, device=labels.device, dtype=labels.dtype)
    return (labels.unsqueeze(1) >> bits.view(-1, *[1] * (labels.ndim - 1))) & 1 > 0


def predicted_masks(logits: Tensor, activation: Activation) -> Tensor:
    """Logits (B, K or 1 + K, *space) -> one mask a region (B, K, *space), bool.

    Sigmoid: probability above one half. Softmax: the most probable class, class 0 being background.
    """
    if activation == "sigmoid":
        return logits > 0
    classes = torch.arange(1, logits.shape[1], device=logits.device)
    return logits.argmax(1, keepdim=True) == classes.view(-1, *[1] * (logits.ndim - 2))


def as_it_is(sums: Tensor) -> Tensor:
    return sums


def compute_loss(name: Loss, logits: Tensor, labels: Tensor, *, summed: Summed = as_it_is) -> Tensor:
    """A loss of the protocol, a scalar, computed in float32.

    The parts of a sum weigh the same. Dice is soft and takes sums over the whole batch, so that a batch
    without foreground has a gradient that is neither zero nor unbounded.

    logits (B, K, *space) for sigmoid losses, (B, 1 + K, *space) with background first for those of softmax;
    labels (B, *space), bit masks.

    Source: Dice loss of Milletari et al. 2016, arXiv:1606.04797, denominator without squares, smoothed by 1 as in
    Buda et al. 2019; focal loss of Lin et al. 2017, arXiv:1708.02002, gamma 2, without alpha.
    """
    logits = logits.float()
    if name.startswith("ce"):
        return _softmax_loss(name, logits, labels, summed)
    masks = region_masks(labels, logits.shape[1]).float()  # (B, K, *space)
    parts = []
    if "bce" in name:
        parts.append(F.binary_cross_entropy_with_logits(logits, masks))
    if "focal" in name:
        parts.append(_focal(logits, masks))
    if "dice" in name:
        parts.append(_dice(logits.sigmoid(), masks, summed))
    return torch.stack(parts).sum()


def deep_loss(name: Loss, heads: Sequence[Tensor], labels: Tensor, *, summed: Summed = as_it_is) -> Tensor:
    """The loss of the logits of heads, finest first, with weights that halve and add up to 1.

    Labels (B, *space) are reduced to the size of a head by nearest neighbours.
    """
    weights = [0.5**level for level in range(len(heads))]
    parts = [
        weight * compute_loss(name, head, _reduced(labels, head.shape[2:]), summed=summed)
        for weight, head in zip(weights, heads, strict=True)
    ]
    return torch.stack(parts).sum() / sum(weights)


def _reduced(labels: Tensor, size: torch.Size) -> Tensor:
    if labels.shape[1:] == size:
        return labels
    return F.interpolate(labels[:, None].float(), size=size, mode="nearest-exact")[:, 0].to(labels.dtype)


def _softmax_loss(name: Loss, logits: Tensor, labels: Tensor, summed: Summed) -> Tensor:
    masks = region_masks(labels, logits.shape[1] - 1)
    background = ~masks.any(1, keepdim=True)
    classes = torch.cat([background, masks], 1)  # (B, 1 + K, *space); regions are disjoint
    loss = F.cross_entropy(logits, classes.to(torch.uint8).argmax(1))
    return loss + _dice(logits.softmax(1)[:, 1:], masks.float(), summed) if "dice" in name else loss


def _focal(logits: Tensor, masks: Tensor) -> Tensor:
    entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    return ((1 - torch.exp(-entropy)) ** _FOCUS * entropy).mean()


def _dice(probabilities: Tensor, masks: Tensor, summed: Summed) -> Tensor:
    axes = [0, *range(2, masks.ndim)]
    sums = [(probabilities * masks).sum(axes), probabilities.sum(axes) + masks.sum(axes)]
    overlap, total = summed(torch.stack(sums))
    return (1 - (2 * overlap + _SMOOTH) / (total + _SMOOTH)).mean()
