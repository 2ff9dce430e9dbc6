"""Boxes: centre and size (cx, cy, w, h), or two corners (left, top, right, bottom), as fractions of the image."""

from __future__ import annotations

import torch
from torch import Tensor

_NEAR_ZERO = 1e-6  # avoids a division by zero for boxes without area


def box_logits(boxes: Tensor) -> Tensor:
    """Return the logits of boxes; within ±11.5, so that a box at the edge still has a gradient."""
    return torch.logit(boxes, eps=1e-5)


def corners(boxes: Tensor) -> Tensor:
    """Return the two corners (..., 4) of boxes given by centre and size (..., 4)."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def mask_boxes(masks: Tensor) -> Tensor:
    """Return the box (..., 4) around each mask (..., H, W) as centre and size; zeros where a mask is empty.

    Upper edges are exclusive: the box of the one pixel (row 2, column 3) reaches from 3 to 4 and from 2 to 3.
    """
    left, right = _extent(masks.any(-2))
    top, bottom = _extent(masks.any(-1))
    height, width = masks.shape[-2:]
    low = torch.stack([left / width, top / height], -1)
    high = torch.stack([right / width, bottom / height], -1)
    return torch.cat([(low + high) / 2, high - low], -1)


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first true place along the last axis and the one after the last; both 0 where there is none."""
    length = occupied.shape[-1]
    is_any = occupied.any(-1)
    first = occupied.int().argmax(-1)
    end = length - occupied.int().flip(-1).argmax(-1)
    return first * is_any, end * is_any


def generalised_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the overlap of boxes (..., 4) in (-1, 1], which falls further below 0 the further they are apart.

    The shapes are broadcast.

    Source: Rezatofighi et al. 2019, arXiv:1902.09630.
    """
    low, high = corners(boxes).split(2, -1)
    other_low, other_high = corners(others).split(2, -1)
    shared = _area(torch.maximum(low, other_low), torch.minimum(high, other_high))
    hull = _area(torch.minimum(low, other_low), torch.maximum(high, other_high))
    union = _area(low, high) + _area(other_low, other_high) - shared
    iou = shared / (union + _NEAR_ZERO)
    return iou - (hull - union) / (hull + _NEAR_ZERO)


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp(min=0).prod(-1)
