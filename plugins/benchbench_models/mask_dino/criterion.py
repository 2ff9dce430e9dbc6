"""The loss: every prediction, from the initial queries to the last layer, is compared with the targets.

Source: Li et al. 2023, arXiv:2206.02777, as published for semantic segmentation: softmax cross-entropy of the
class, cross-entropy and Dice of the mask at points, L1 and generalised IoU of the box.
Differs: losses are divided by the number of targets in the batch of this process, not of all processes.
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
"""Weight, in the loss of the class, of a query without a target, as most are."""


def decoded_loss(decoded: Decoded, targets: Targets, noised: Noised | None, *, points: int) -> Tensor:
    """Return the sum of the losses of all predictions, a scalar.

    Noised queries are compared with the targets that they were made from. Their content is their label, so where
    queries are learned, the initial prediction of the noised ones is compared with nothing.
    """
    count = max(1.0, float(targets.is_present_on_cpu.sum()))
    predictions, noised_predictions = decoded.predictions, decoded.noised[1:]
    if decoded.proposed is not None:
        predictions, noised_predictions = [*predictions, decoded.proposed], decoded.noised
    matched = match(predictions, targets, points=points)
    losses = [
        prediction_loss(prediction, targets, pairs, count=count, points=points)
        for prediction, pairs in zip(predictions, matched, strict=True)
    ]
    if noised is not None:
        pairs = noised_pairs(noised)
        losses += [
            prediction_loss(prediction, targets, pairs, count=count * noised.groups, points=points)
            for prediction in noised_predictions
        ]
    return torch.stack(losses).sum()


def noised_pairs(noised: Noised) -> Pairs:
    """Return the pairs of the noised queries and the targets that they were made from."""
    image, query = noised.real.unbind(1)
    return Pairs(image, query, noised.target_labels[image, query])


def prediction_loss(
    prediction: Prediction, targets: Targets, pairs: Pairs, *, count: float, points: int
) -> Tensor:
    """Return the weighted loss of one prediction; those of masks and boxes are summed and divided by `count`."""
    loss = CLASS * class_loss(prediction.classes, pairs)
    if not len(pairs.image):
        return loss
    boxes = prediction.boxes[pairs.image, pairs.query]
    target_boxes = targets.boxes[pairs.image, pairs.label]
    box_loss = (boxes - target_boxes).abs().sum()
    iou_loss = (1 - generalised_iou(boxes, target_boxes)).sum()
    logits = prediction.masks[pairs.image, pairs.query]
    target_masks = targets.masks[pairs.image, pairs.label].float()
    entropy, dice = mask_losses(logits, target_masks, points=points)
    return loss + (BOX * box_loss + IOU * iou_loss + MASK * entropy + DICE * dice) / count


def class_loss(logits: Tensor, pairs: Pairs) -> Tensor:
    """Return the weighted cross-entropy of logits (B, Q, classes + 1).

    The class of a query without a target is the last one, no object.
    """
    no_object = logits.shape[-1] - 1
    labels = torch.full(logits.shape[:2], no_object, device=logits.device)
    labels[pairs.image, pairs.query] = pairs.label
    weights = logits.new_ones(no_object + 1)
    weights[no_object] = NO_OBJECT
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), weights)


def mask_losses(logits: Tensor, masks: Tensor, *, points: int) -> tuple[Tensor, Tensor]:
    """Return cross-entropy and Dice loss of logits (N, h, w) and masks (N, H, W), summed over the masks.

    Both are computed from `points` points of every mask.
    """
    with torch.no_grad():
        places = uncertain_points(logits, count=points)
        targets = read_points(masks[:, None], places)[:, 0]  # (N, points)
    point_logits = read_points(logits[:, None], places)[:, 0]
    entropy = F.binary_cross_entropy_with_logits(point_logits, targets, reduction="none").mean(1).sum()
    p = point_logits.sigmoid()
    dice = 1 - (2 * (p * targets).sum(1) + 1) / (p.sum(1) + targets.sum(1) + 1)
    return entropy, dice.sum()
