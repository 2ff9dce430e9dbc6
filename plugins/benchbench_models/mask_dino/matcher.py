"""The matching of queries and targets: for every image, the pairing of the lowest total cost.

Source: Carion et al. 2020, arXiv:2005.12872; costs of Li et al. 2023, arXiv:2206.02777, as published.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from benchbench_models.mask_dino.boxes import generalised_iou
from benchbench_models.mask_dino.heads import Prediction
from benchbench_models.mask_dino.points import read_points
from benchbench_models.mask_dino.targets import Targets

CLASS, MASK, DICE, BOX, IOU = 4.0, 5.0, 5.0, 5.0, 2.0
"""Weights of the costs, and of the losses of the same names."""
_BALANCE, _FOCUS = 0.25, 2


class Pairs(NamedTuple):
    """N pairs: query `query` of image `image` is matched with the target of class `label`."""

    image: Tensor
    query: Tensor
    label: Tensor


def match(predictions: Sequence[Prediction], targets: Targets, *, points: int) -> list[Pairs]:
    """Return the pairs of each prediction.

    The costs of all predictions are copied to the CPU at once, and their pairs back at once: the CPU waits for the
    GPU one time in a step.
    """
    masks = targets.masks.float()
    with torch.no_grad():
        costs = torch.stack([pair_costs(prediction, targets, masks, points=points) for prediction in predictions])
    # the assignment cannot handle nan; the loss is nan as well then, on which the training loop stops
    pairs: list[Tensor] = []
    for cost in costs.nan_to_num().cpu():
        rows = list(_image_pairs(cost, targets.is_present_on_cpu))
        pairs.append(torch.tensor(rows, dtype=torch.int64).reshape(-1, 3))
    on_device = torch.cat(pairs).to(targets.masks.device, non_blocking=True)
    return [Pairs(*of_one.unbind(1)) for of_one in on_device.split([len(of_one) for of_one in pairs])]


def pair_costs(prediction: Prediction, targets: Targets, masks: Tensor, *, points: int) -> Tensor:
    """Return the cost of pairing each query with each class, (B, Q, classes); masks are the targets' as floats.

    The cost of the class is that of the focal loss of sigmoids, although the loss of the class uses a softmax.
    """
    places = torch.rand(len(masks), points, 2, device=masks.device)
    boxes, target_boxes = prediction.boxes[:, :, None], targets.boxes[:, None]
    mask_cost, dice_cost = _mask_costs(read_points(prediction.masks, places), read_points(masks, places))
    return (
        CLASS * _class_cost(prediction.classes[..., :-1])
        + MASK * mask_cost
        + DICE * dice_cost
        + BOX * (boxes - target_boxes).abs().sum(-1)
        - IOU * generalised_iou(boxes, target_boxes)
    )


def _class_cost(logits: Tensor) -> Tensor:
    p = logits.sigmoid()
    hit = _BALANCE * (1 - p) ** _FOCUS * -(p + 1e-8).log()
    miss = (1 - _BALANCE) * p**_FOCUS * -(1 - p + 1e-8).log()
    return hit - miss


def _mask_costs(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return cross-entropy and Dice loss, (B, Q, classes), of logits (B, Q, P) and masks (B, classes, P)."""
    entropy = F.softplus(-logits) @ masks.mT + F.softplus(logits) @ (1 - masks).mT
    p = logits.sigmoid()
    overlap = 2 * p @ masks.mT
    total = p.sum(-1)[..., None] + masks.sum(-1)[:, None]
    dice = 1 - (overlap + 1) / (total + 1)
    return entropy / logits.shape[-1], dice


def _image_pairs(costs: Tensor, present: Tensor) -> Iterator[tuple[int, int, int]]:
    for image, (cost, is_present) in enumerate(zip(costs, present, strict=True)):
        labels = is_present.nonzero()[:, 0]
        queries, columns = linear_sum_assignment(cost[:, labels].numpy())
        for query, column in zip(queries, columns, strict=True):
            yield image, int(query), int(labels[column])
