"""Decides which query is to answer for which target: the pairing of the least cost, image by image.

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
    """Query `query` of image `image` answers for the target of class `label`; N of each."""

    image: Tensor
    query: Tensor
    label: Tensor


def match(predictions: Sequence[Prediction], targets: Targets, *, points: int) -> list[Pairs]:
    """The pairs of each prediction; the costs of all travel to the host at once."""
    masks = targets.masks.float()
    with torch.no_grad():
        costs = torch.stack([pair_costs(each, targets, masks, points=points) for each in predictions])
    # numbers that are none make the loss none, which the training loop knows how to end
    costs, present = costs.nan_to_num().cpu(), targets.is_present.cpu()
    return [_pairs(cost, present, targets.masks.device) for cost in costs]


def pair_costs(prediction: Prediction, targets: Targets, masks: Tensor, *, points: int) -> Tensor:
    """What it would cost that a query answers for a class, (B, Q, classes); masks are the targets' as floats.

    The cost of the class is that of the focal loss on sigmoids, though the loss of the class is a softmax's.
    """
    place = torch.rand(len(masks), points, 2, device=masks.device)
    boxes, wanted = prediction.boxes[:, :, None], targets.boxes[:, None]
    mask_cost, dice_cost = _mask_costs(read_points(prediction.masks, place), read_points(masks, place))
    return (
        CLASS * _class_cost(prediction.classes[..., :-1])
        + MASK * mask_cost
        + DICE * dice_cost
        + BOX * (boxes - wanted).abs().sum(-1)
        - IOU * generalised_iou(boxes, wanted)
    )


def _class_cost(logits: Tensor) -> Tensor:
    p = logits.sigmoid()
    hit = _BALANCE * (1 - p) ** _FOCUS * -(p + 1e-8).log()
    miss = (1 - _BALANCE) * p**_FOCUS * -(1 - p + 1e-8).log()
    return hit - miss


def _mask_costs(logits: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy and Dice of logits (B, Q, P) with masks (B, classes, P), (B, Q, classes) each."""
    entropy = F.softplus(-logits) @ wanted.mT + F.softplus(logits) @ (1 - wanted).mT
    p = logits.sigmoid()
    dice = 1 - (2 * p @ wanted.mT + 1) / (p.sum(-1)[..., None] + wanted.sum(-1)[:, None] + 1)
    return entropy / logits.shape[-1], dice


def _pairs(costs: Tensor, present: Tensor, device: torch.device) -> Pairs:
    rows = list(_image_pairs(costs, present))
    image, query, label = torch.tensor(rows, dtype=torch.int64, device=device).reshape(-1, 3).unbind(1)
    return Pairs(image, query, label)


def _image_pairs(costs: Tensor, present: Tensor) -> Iterator[tuple[int, int, int]]:
    for image, (cost, is_present) in enumerate(zip(costs, present, strict=True)):
        labels = is_present.nonzero()[:, 0]
        for query, column in zip(*linear_sum_assignment(cost[:, labels].numpy()), strict=True):
            yield image, int(query), int(labels[column])
