"""Losses of the protocol, on logits.

MONAI has these losses too, but its Dice takes sums over the samples of one process only, not over a batch that
several processes share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor

from benchbench.engine.network.regions import region_masks, scored_voxels, with_background
from benchbench.spec.protocol import Loss

SumOverBatch = Callable[[Tensor], Tensor]
"""Returns sums over the whole batch for sums over the samples of this process."""

_SMOOTH = 1.0
_FOCAL_GAMMA = 2.0
_NO_CLASS = -100  # of a voxel that is not scored


def whole_batch_is_here(sums: Tensor) -> Tensor:
    """Return sums unchanged, as a single process does."""
    return sums


def compute_loss(
    name: Loss, logits: Tensor, labels: Tensor, *, sum_over_batch: SumOverBatch = whole_batch_is_here
) -> Tensor:
    """Return a loss of the protocol, a scalar, computed in float32.

    logits (B, K, *space) for sigmoid losses, (B, 1 + K, *space) with background first for softmax losses; labels
    (B, *space), bit masks. Ignored voxels have no part in it.

    The terms of a sum have equal weights. Dice is soft and takes its sums over the whole batch, so that a batch
    without foreground has a gradient that is neither zero nor unbounded.

    Source: Dice loss of Milletari et al. 2016, arXiv:1606.04797, denominator without squares, smoothed by 1 as in
    Buda et al. 2019; focal loss of Lin et al. 2017, arXiv:1708.02002, gamma 2, without alpha.
    """
    sums = loss_sums(name, logits, labels).sum(0)
    return loss_of_cases(name, sum_over_batch(sums)[None])


def loss_sums(name: Loss, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the sums over voxels that a loss is computed from, (B, 2), or (B, 2 + 2 K) with Dice.

    They are, for each sample, the sum of the cross-entropy (or focal loss), the number of its terms, and for Dice
    the K sums of probability times mask, then the K sums of both. Sums of the parts of a case add up to those of
    the case. logits and labels are those of `compute_loss`.
    """
    logits = logits.float()
    softmax = name.startswith("ce")
    regions = logits.shape[1] - softmax
    masks = region_masks(labels, regions)
    scored = scored_voxels(labels, regions)
    if softmax:
        entropy = _class_entropy(logits, masks, scored)
        terms = scored.flatten(1).sum(1)
    else:
        entropy = _region_entropy(name, logits, masks.float(), scored[:, None])
        terms = scored.flatten(1).sum(1) * regions
    sums = torch.stack([entropy.flatten(1).sum(1), terms.float()], 1)
    if "dice" not in name:
        return sums
    probabilities = logits.softmax(1)[:, 1:] if softmax else logits.sigmoid()
    probabilities = probabilities * scored[:, None]
    overlap = (probabilities * masks).flatten(2).sum(2)
    total = probabilities.flatten(2).sum(2) + masks.flatten(2).sum(2)
    return torch.cat([sums, overlap, total], 1)


def loss_of_cases(name: Loss, sums: Tensor) -> Tensor:
    """Return the loss of cases, a scalar, for the sums (N, 2 or 2 + 2 K) over the voxels of each case.

    Cross-entropy and focal loss are means over the voxels of all cases together. Dice is that of each case and
    region, then the mean over them.
    """
    terms = []
    if name != "dice":
        entropy, count = sums[:, 0].sum(), sums[:, 1].sum()
        terms.append(entropy / count.clamp(min=1))
    if "dice" in name:
        overlap, total = sums[:, 2:].chunk(2, dim=1)
        dice = (2 * overlap + _SMOOTH) / (total + _SMOOTH)
        terms.append((1 - dice).mean())
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


def _class_entropy(logits: Tensor, masks: Tensor, scored: Tensor) -> Tensor:
    """Return the cross-entropy (B, *space) of logits (B, 1 + K, *space), 0 in voxels that are not scored."""
    classes = with_background(masks).to(torch.uint8).argmax(1)
    classes = classes.masked_fill(~scored, _NO_CLASS)
    return F.cross_entropy(logits, classes, ignore_index=_NO_CLASS, reduction="none")


def _region_entropy(name: Loss, logits: Tensor, masks: Tensor, scored: Tensor) -> Tensor:
    """Return the binary cross-entropy, or the focal loss, (B, K, *space); 0 in voxels that are not scored."""
    if name == "dice":
        return torch.zeros_like(logits[:, :1])
    entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    if "focal" in name:
        entropy = (1 - torch.exp(-entropy)) ** _FOCAL_GAMMA * entropy
    return entropy * scored
