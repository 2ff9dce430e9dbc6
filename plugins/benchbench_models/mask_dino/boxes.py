"""Boxes: centre and size (cx, cy, w, h), or two corners (left, top, right, bottom), in shares of the image."""

from __future__ import annotations

import torch
from torch import Tensor

_NEAR_ZERO = 1e-6  # keeps the overlap of two boxes without area a number


def box_logits(boxes: Tensor) -> Tensor:
    """What a sigmoid turns into these boxes; within ±11.5, so that an edge box can still move."""
    return torch.logit(boxes, eps=1e-5)


def corners(boxes: Tensor) -> Tensor:
    """Centre and size (..., 4) -> two corners (..., 4)."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def mask_boxes(masks: Tensor) -> Tensor:
    """The centre and size of the box around each mask: bool (..., H, W) -> (..., 4); zeros where one is empty.

    Upper edges are exclusive: a mask of the one pixel (row 2, column 3) reaches from 3 to 4 and from 2 to 3.
    """
    left, right = _extent(masks.any(-2))
    top, bottom = _extent(masks.any(-1))
    height, width = masks.shape[-2:]
    low = torch.stack([left / width, top / height], -1)
    high = torch.stack([right / width, bottom / height], -1)
    return torch.cat([(low + high) / 2, high - low], -1)


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """The first place taken along the last axis, and the one after the last; both 0 where none is."""
    length = occupied.shape[-1]
    some = occupied.any(-1)
    first = occupied.int().argmax(-1)
    end = length - occupied.int().flip(-1).argmax(-1)
    return first * some, end * some


def generalised_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Overlap in (-1, 1] of boxes (..., 4) with others, shapes broadcast; below 0 the further they are apart.

    Source: Rezatofighi et al. 2019, arXiv:1902.09630.
    """
    a, b = corners(boxes), corners(others)
    shared = _area(torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:]))
    hull = _area(torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:]))
    union = _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:]) - shared
    return shared / (union + _NEAR_ZERO) - (hull - union) / (hull + _NEAR_ZERO)


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=0).prod(-1)
