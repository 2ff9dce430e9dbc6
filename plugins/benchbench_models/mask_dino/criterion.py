"""The loss: every prediction, from the first queries to the last layer, is held against the targets.

Source: Li et al. 2023, arXiv:2206.02777, as published for semantic segmentation: softmax cross-entropy of the
class, cross-entropy and Dice of the mask at points, L1 and generalised IoU of the box.
Differs: the number of targets is that of this process' batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor

from benchbench_models.mask_dino.boxes import generalised_iou
from benchbench_models.mask_dino.decoder import Decoded
from benchbench_models.mask_dino.denoising import Noised
from benchbench_models.mask_dino.heads import Prediction
from benchbench_models.mask_dino.matcher import BOX, CLASS, DICE, IOU, MASK, Pairs, match
from benchbench_models.mask_dino.points import read_points, uncertain_points
from benchbench_models.mask_dino.targets import Targets

NO_OBJECT = 0.1
"""Weight of a query that answers for nothing, as most do, in the loss of the class."""


def decoded_loss(decoded: Decoded, targets: Targets, noised: Noised | None, *, points: int) -> Tensor:
    """The sum of the losses of all predictions, a scalar.

    Noised queries answer for what they were made from. Their labels are their content, so at the start, where
    queries are learned, they are held against nothing.
    """
    count = max(1.0, float(targets.is_present.sum()))
    matched = decoded.predictions if decoded.proposed is None else [*decoded.predictions, decoded.proposed]
    pairs = match(matched, targets, points=points)
    losses = [
        prediction_loss(prediction, targets, paired, count=count, points=points)
        for prediction, paired in zip(matched, pairs, strict=True)
    ]
    if noised is not None:
        known, first = noised_pairs(noised), 1 if decoded.proposed is None else 0
        losses += [
            prediction_loss(prediction, targets, known, count=count * noised.groups, points=points)
            for prediction in decoded.noised[first:]
        ]
    return torch.stack(losses).sum()


def noised_pairs(noised: Noised) -> Pairs:
    """Each noised query with what it was made from."""
    image, query = noised.is_real.nonzero(as_tuple=True)
    return Pairs(image, query, noised.truth[image, query])


def prediction_loss(
    prediction: Prediction, targets: Targets, pairs: Pairs, *, count: float, points: int
) -> Tensor:
    """The weighted loss of one prediction; masks and boxes are summed over pairs and divided by `count`."""
    loss = CLASS * class_loss(prediction.classes, pairs)
    if not len(pairs.image):
        return loss
    boxes, wanted = prediction.boxes[pairs.image, pairs.query], targets.boxes[pairs.image, pairs.label]
    distance = (boxes - wanted).abs().sum()
    apart = (1 - generalised_iou(boxes, wanted)).sum()
    logits = prediction.masks[pairs.image, pairs.query]
    entropy, dice = mask_losses(logits, targets.masks[pairs.image, pairs.label].float(), points=points)
    return loss + (BOX * distance + IOU * apart + MASK * entropy + DICE * dice) / count


def class_loss(logits: Tensor, pairs: Pairs) -> Tensor:
    """Weighted cross-entropy of (B, Q, classes + 1); a query without a target is no object, the last class."""
    nothing = logits.shape[-1] - 1
    labels = torch.full(logits.shape[:2], nothing, device=logits.device)
    labels[pairs.image, pairs.query] = pairs.label
    weights = logits.new_ones(nothing + 1)
    weights[nothing] = NO_OBJECT
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), weights)


def mask_losses(logits: Tensor, masks: Tensor, *, points: int) -> tuple[Tensor, Tensor]:
    """Cross-entropy and Dice of masks (N, h, w) with (N, H, W) at the same points, summed over masks."""
    with torch.no_grad():
        place = uncertain_points(logits, count=points)
        wanted = read_points(masks[:, None], place)[:, 0]
    found = read_points(logits[:, None], place)[:, 0]  # (N, points)
    entropy = F.binary_cross_entropy_with_logits(found, wanted, reduction="none").mean(1).sum()
    p = found.sigmoid()
    dice = 1 - (2 * (p * wanted).sum(1) + 1) / (p.sum(1) + wanted.sum(1) + 1)
    return entropy, dice.sum()
