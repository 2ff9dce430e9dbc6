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
    """Return the pairs of each prediction; the costs of all predictions are copied to the host at once."""
    masks = targets.masks.float()
    with torch.no_grad():
        costs = torch.stack([pair_costs(prediction, targets, masks, points=points) for prediction in predictions])
    # the assignment cannot handle nan; the loss is nan as well then, on which the training loop stops
    costs, present = costs.nan_to_num().cpu(), targets.is_present.cpu()
    return [_pairs(cost, present, targets.masks.device) for cost in costs]


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


def _pairs(costs: Tensor, present: Tensor, device: torch.device) -> Pairs:
    rows = list(_image_pairs(costs, present))
    image, query, label = torch.tensor(rows, dtype=torch.int64, device=device).reshape(-1, 3).unbind(1)
    return Pairs(image, query, label)


def _image_pairs(costs: Tensor, present: Tensor) -> Iterator[tuple[int, int, int]]:
    for image, (cost, is_present) in enumerate(zip(costs, present, strict=True)):
        labels = is_present.nonzero()[:, 0]
        queries, columns = linear_sum_assignment(cost[:, labels].numpy())
        for query, column in zip(queries, columns, strict=True):
            yield image, int(query), int(labels[column])
