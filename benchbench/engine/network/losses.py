"""Losses of the protocol, on logits.

MONAI has these losses too, but its Dice takes sums over the samples of one process only, not over a batch that
several processes share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor

from benchbench.engine.network.plugin_loss import plugin_loss
from benchbench.engine.network.regions import (
    is_partial,
    labelled_regions,
    region_masks,
    scored_by_region,
    scored_voxels,
    with_background,
)
from benchbench.images.arrays import IGNORED, MOST_REGIONS
from benchbench.spec.loss import AnyLoss, Loss
from benchbench.spec.plugin_choice import PluginLoss

SumOverBatch = Callable[[Tensor], Tensor]
"""Returns sums over the whole batch for sums over the samples of this process."""

_FOCAL_GAMMA = 2.0
_NO_CLASS = -100  # of a voxel that is not scored


class _Overlaps(NamedTuple):
    """Sums over the voxels of samples or cases, each (N, K)."""

    product: Tensor
    """Σpq of probabilities p and masks q."""
    prediction: Tensor
    """Σp, or Σp² with squares."""
    reference: Tensor
    """Σq, which is Σq² as well."""
    labelled: Tensor | None = None
    """Number of samples in which each class is labelled; None where all are."""


class _Totals(NamedTuple):
    """Scalars that a loss is computed from."""

    entropy: Tensor
    """Sum of the cross-entropy or focal loss."""
    weight: Tensor
    """Sum of the weights of its terms."""
    overlap_loss: Tensor
    """Sum of the overlap losses of the rows."""
    rows: Tensor
    """Number of rows: of samples, or of cases."""


def whole_batch_is_here(sums: Tensor) -> Tensor:
    """Return sums unchanged, as a single process does."""
    return sums


def compute_loss(
    loss: AnyLoss, logits: Tensor, labels: Tensor, *, sum_over_batch: SumOverBatch = whole_batch_is_here
) -> Tensor:
    """Return a loss of the protocol, a scalar, computed in float32.

    logits (B, K, *space) for sigmoid losses, (B, 1 + K, *space) with background first for softmax losses; labels
    (B, *space), bit masks. Ignored voxels have no part in it, and neither have regions that are not labelled in a
    sample: with a sigmoid the channels of these regions, with a softmax their logits, so that the sample is one of
    the background and the labelled classes.

    Dice is soft. Unless it is that of each image, it takes its sums over the whole batch, so that a batch without
    foreground has a gradient that is neither zero nor unbounded. The loss of a plugin is that of the whole batch.
    """
    if isinstance(loss, PluginLoss):
        return plugin_loss(loss, logits, labels)
    sums = loss_sums(loss, logits, labels)
    partial = is_partial(labels)
    if loss.per_image:
        totals = torch.stack(_totals(loss, sums, partial=partial))
        return _combine(loss, _Totals(*sum_over_batch(totals)))
    return loss_of_cases(loss, sum_over_batch(sums.sum(0))[None], partial=partial)


def loss_sums(loss: AnyLoss, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the sums over voxels that a loss is computed from, (B, 2), or (B, 2 + 3 K) with Dice of K classes.

    With bit masks of `mark_unlabelled` there are K columns more: 1 where a class is labelled in a sample.

    They are, for each sample, the sum of the cross-entropy (or focal loss), the sum of the weights of its terms,
    and for Dice the K sums of probability times mask, of probabilities and of masks. Sums of the parts of a case
    add up to those of the case. logits and labels are those of `compute_loss`. A plugin's loss of each sample
    takes the place of the cross-entropy, with a weight of 1.
    """
    if isinstance(loss, PluginLoss):
        losses = [plugin_loss(loss, logits[n : n + 1], labels[n : n + 1]) for n in range(len(logits))]
        return torch.stack([torch.stack(losses), logits.new_ones(len(losses), dtype=torch.float32)], 1)
    logits = logits.float()
    regions = logits.shape[1] - loss.is_softmax
    masks = region_masks(labels, regions)
    scored = _scored_voxels(loss, labels, regions)
    if is_partial(labels) and loss.is_softmax:
        is_labelled = _labelled_channels(loss, labels, logits)
        logits = logits.masked_fill(~is_labelled, torch.finfo(logits.dtype).min)
    if loss.is_softmax:
        entropy, weights = _class_entropy(loss, logits, masks, scored)
    else:
        masks = masks.float()
        entropy, weights = _region_entropy(loss, logits, masks, scored)
    sums = torch.stack([entropy.flatten(1).sum(1), weights], 1)
    if loss.overlap is None:
        return sums
    overlaps = _overlap_sums(loss, logits, masks, scored)
    if not is_partial(labels):
        return torch.cat([sums, *overlaps[:3]], 1)
    is_labelled = _labelled_channels(loss, labels, logits).flatten(1)
    if loss.is_softmax and not loss.background:
        is_labelled = is_labelled[:, 1:]
    return torch.cat([sums, *overlaps[:3], is_labelled.float()], 1)


def _labelled_channels(loss: Loss, labels: Tensor, logits: Tensor) -> Tensor:
    """Return bool (B, C, 1, ...), False where the region of a channel is not labelled; the background is."""
    labelled = labelled_regions(labels, logits.shape[1] - loss.is_softmax)
    if loss.is_softmax:
        labelled = F.pad(labelled, (1, 0), value=True)
    return labelled.view(*labelled.shape, *[1] * (logits.ndim - 2))


def _scored_voxels(loss: Loss, labels: Tensor, regions: int) -> Tensor | None:
    """Return bool (B, 1 or K, *space), False in voxels that are not scored; None on a CPU if all are.

    That saves time there; a GPU would have to wait for the answer, and compiled code would end at the question.
    Regions that are not labelled are left out for a sigmoid only: classes of a softmax have no voxels of their
    own.
    """
    if is_partial(labels):
        return scored_voxels(labels, regions)[:, None] if loss.is_softmax else scored_by_region(labels, regions)
    is_asked = labels.device.type == "cpu" and not torch.compiler.is_compiling()
    if is_asked and (regions == MOST_REGIONS or int(labels.max()) < IGNORED):
        return None
    return scored_voxels(labels, regions)[:, None]


def _count_scored(scored: Tensor | None, like: Tensor) -> Tensor:
    """Return the number of scored voxels (B, 1 or K) of each sample of logits (B, C, *space)."""
    if scored is None:
        return like.new_full((len(like), 1), like[0, 0].numel())
    return scored.flatten(2).sum(2).float()


def loss_of_cases(loss: AnyLoss, sums: Tensor, *, partial: bool = False) -> Tensor:
    """Return the loss of cases, a scalar, for the sums (N, 2 or 2 + 3 K) over the voxels of each case.

    With `partial` they are those for bit masks of `mark_unlabelled`, and Dice is a mean over the labelled classes.

    Cross-entropy and focal loss are means over the voxels of all cases together. Dice is that of each case and
    class, then the mean over them. The loss of a plugin is a mean over cases or slices.
    """
    if isinstance(loss, PluginLoss):
        return sums[:, 0].sum() / sums[:, 1].sum()
    return _combine(loss, _totals(loss, sums, partial=partial))


def deep_supervision_loss(
    loss: AnyLoss,
    heads: Sequence[Tensor],
    labels: Tensor,
    *,
    sum_over_batch: SumOverBatch = whole_batch_is_here,
) -> Tensor:
    """Return the loss of the logits of several heads, finest first; the weights halve and add up to 1.

    Labels (B, *space) are resized to each head by nearest neighbours.
    """
    if len(heads) == 1:
        return compute_loss(loss, heads[0], _resized(labels, heads[0].shape[2:]), sum_over_batch=sum_over_batch)
    weights = [0.5**level for level in range(len(heads))]
    terms = []
    for weight, head in zip(weights, heads, strict=True):
        resized = _resized(labels, head.shape[2:])
        terms.append(weight * compute_loss(loss, head, resized, sum_over_batch=sum_over_batch))
    return torch.stack(terms).sum() / sum(weights)


def _resized(labels: Tensor, size: torch.Size) -> Tensor:
    if labels.shape[1:] == size:
        return labels
    resized = F.interpolate(labels[:, None].float(), size=size, mode="nearest-exact")
    return resized[:, 0].to(labels.dtype)


def _totals(loss: Loss, sums: Tensor, *, partial: bool) -> _Totals:
    """Return the totals over the rows (N, 2 or 2 + 3 K) of sums."""
    overlap_loss = sums.new_zeros(())
    if loss.overlap is not None:
        overlap_loss = _overlap_losses(loss, _Overlaps(*sums[:, 2:].chunk(4 if partial else 3, dim=1))).sum()
    rows = sums.new_full((), len(sums))  # new_tensor would wait for the GPU
    return _Totals(sums[:, 0].sum(), sums[:, 1].sum(), overlap_loss, rows)


def _combine(loss: Loss, totals: _Totals) -> Tensor:
    """Return the loss for the totals over all rows."""
    terms = []
    if loss.entropy is not None:
        terms.append(totals.entropy / totals.weight.clamp(min=torch.finfo(totals.weight.dtype).tiny))
    if loss.overlap is not None:
        terms.append(totals.overlap_loss / totals.rows)
    first, *others = [factor * term for factor, term in zip(loss.weights, terms, strict=False)]
    return sum(others, start=first)


def _overlap_losses(loss: Loss, sums: _Overlaps) -> Tensor:
    """Return 1 - Dice (N,) of each row, its mean over classes or that of all classes together."""
    product, prediction, reference, labelled = sums
    if loss.overlap == "generalized_dice":
        weight = _size_weights(reference)
        product, prediction, reference = product * weight, prediction * weight, reference * weight
    if loss.joint or loss.overlap == "generalized_dice":
        product, prediction, reference = (part.sum(1, keepdim=True) for part in (product, prediction, reference))
        labelled = None
    if loss.overlap == "tversky":
        numerator = product + loss.smooth
        denominator = product + loss.alpha * (prediction - product) + loss.beta * (reference - product)
        denominator = denominator + loss.smooth
    else:
        numerator = 2 * product + loss.smooth
        denominator = prediction + reference + loss.smooth
    if labelled is None:
        return (1 - numerator / denominator).mean(1)
    is_labelled = labelled > 0
    # without it a smooth of 0 would give nan for a class without voxels
    score = numerator / torch.where(is_labelled, denominator, torch.ones_like(denominator))
    return ((1 - score) * is_labelled).sum(1) / is_labelled.sum(1)


def _size_weights(reference: Tensor) -> Tensor:
    """Return 1 / (Σq)² of each class (N, K); without reference, it is the largest weight of the others, or 1."""
    weights = 1 / reference.square()
    finite = weights.masked_fill(weights.isinf(), 0)
    largest = finite.max(1, keepdim=True).values
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    return torch.where(weights.isinf(), largest, weights)


def _overlap_sums(loss: Loss, logits: Tensor, masks: Tensor, scored: Tensor | None) -> _Overlaps:
    if not loss.is_softmax:
        probabilities = logits.sigmoid()
    elif loss.background:
        probabilities, masks = logits.softmax(1), with_background(masks)
    else:
        probabilities = logits.softmax(1)[:, 1:]
    masks = masks.float()
    if scored is not None:
        probabilities = probabilities * scored
        masks = masks * scored
    squares = probabilities.square() if loss.squared else probabilities
    return _Overlaps(
        product=(probabilities * masks).flatten(2).sum(2),
        prediction=squares.flatten(2).sum(2),
        reference=masks.flatten(2).sum(2),
    )


def _class_entropy(loss: Loss, logits: Tensor, masks: Tensor, scored: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy (B, *space) of logits (B, 1 + K, *space) and the sums (B,) of its weights.

    It is 0 in voxels that are not scored.
    """
    classes = with_background(masks).to(torch.uint8).argmax(1)
    weight = None
    weights = _count_scored(scored, logits)[:, 0]
    if scored is not None:
        classes = classes.masked_fill(~scored[:, 0], _NO_CLASS)
    if loss.class_weights is not None:
        weight = _on_device_of(logits, loss.class_weights)
        is_scored = classes != _NO_CLASS
        weights = (weight[classes.clamp(min=0)] * is_scored).flatten(1).sum(1)
    entropy = F.cross_entropy(logits, classes, weight=weight, ignore_index=_NO_CLASS, reduction="none")
    return entropy, weights


def _on_device_of(logits: Tensor, numbers: Sequence[float]) -> Tensor:
    """Return numbers as a tensor like the logits, without waiting for the GPU."""
    return torch.tensor(numbers, dtype=logits.dtype).to(logits.device, non_blocking=True)


def _region_entropy(loss: Loss, logits: Tensor, masks: Tensor, scored: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the binary cross-entropy, or the focal loss, (B, K, *space) and the sums (B,) of its weights.

    It is 0 in voxels that are not scored.
    """
    voxels = _count_scored(scored, logits)
    if loss.entropy is None:
        return logits.new_zeros(len(logits), 1), voxels[:, 0]
    entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    if loss.entropy == "focal":
        entropy = (1 - torch.exp(-entropy)) ** _FOCAL_GAMMA * entropy
    if scored is not None:
        entropy = entropy * scored
    if loss.class_weights is None:
        return entropy, voxels.mean(1) * logits.shape[1]
    weight = _on_device_of(logits, loss.class_weights)
    by_region = weight.view(-1, *[1] * (logits.ndim - 2))
    if voxels.shape[1] > 1:
        return entropy * by_region, (voxels * weight).sum(1)
    return entropy * by_region, voxels[:, 0] * weight.sum()
