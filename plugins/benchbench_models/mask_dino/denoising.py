"""Noised queries: the targets with noise in boxes and labels, which the decoder learns to remove in training.

Their targets are known without the matching, whose instability slows the training down.
Source: Li et al. 2022, arXiv:2203.01305; with masks, Li et al. 2023, arXiv:2206.02777.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchbench_models.mask_dino.boxes import box_logits
from benchbench_models.mask_dino.targets import Targets

_QUERIES = 100  # maximum over all groups
_NOISE = 0.4


class Noised(NamedTuple):
    """N noised queries of B images, in groups that follow each other, each with every target of the image once.

    An image with fewer targets than another one has queries that are not real: without content, in the middle of
    the image.
    """

    labels: Tensor
    """(B, N): the noised labels, some of them wrong."""
    anchors: Tensor
    """Noised boxes (B, N, 4), before the sigmoid."""
    is_real: Tensor
    """bool (B, N)"""
    real: Tensor
    """(M, 2): image and number of the real queries."""
    target_labels: Tensor
    """(B, N): the labels without noise."""
    groups: int


def noise_targets(targets: Targets, *, queries: int = _QUERIES) -> Noised | None:
    """Return as many groups of noised queries as fit into `queries`.

    None where no image has a target, or where the targets of an image are more than `queries`. A label becomes a
    random class with a probability of half the noise; a box moves by up to half its size and grows or shrinks by
    up to its size, times the noise. Random numbers are drawn from torch's generator of the device.
    """
    is_present, device = targets.is_present_on_cpu, targets.boxes.device
    group_size = int(is_present.sum(1).max())
    groups = queries // group_size if group_size else 0
    if not groups:
        return None
    present_first = (~is_present).to(torch.uint8).argsort(dim=1, stable=True)
    labels = present_first[:, :group_size].repeat(1, groups)
    is_real = is_present.gather(1, labels)
    real = is_real.nonzero().to(device, non_blocking=True)
    labels, is_real = labels.to(device, non_blocking=True), is_real.to(device, non_blocking=True)
    boxes = targets.boxes.gather(1, labels[..., None].expand(-1, -1, 4))
    anchors = box_logits(_noise_boxes(boxes)).masked_fill(~is_real[..., None], 0.0)
    noised_labels = _noise_labels(labels, classes=targets.masks.shape[1])
    return Noised(noised_labels, anchors, is_real, real, labels, groups)


def attention_mask(noised: Noised, *, queries: int) -> Tensor:
    """Return a bool (N + Q, N + Q), true where a query may not attend to another one, the noised queries first.

    No other query attends to a noised one, which would reveal the target. A noised query attends to those of its
    own group and to the queries that are not noised.
    """
    count = noised.labels.shape[1]
    group = torch.full((count + queries,), -1, device=noised.labels.device)
    group[:count] = torch.arange(count, device=group.device) // (count // noised.groups)
    return (group[:, None] != group) & (group >= 0)


def _noise_labels(labels: Tensor, *, classes: int) -> Tensor:
    flips = torch.rand(labels.shape, device=labels.device) < _NOISE / 2
    return torch.where(flips, torch.randint_like(labels, classes), labels)


def _noise_boxes(boxes: Tensor) -> Tensor:
    largest_change = torch.cat([boxes[..., 2:] / 2, boxes[..., 2:]], -1)
    change = (torch.rand_like(boxes) * 2 - 1) * largest_change * _NOISE
    return (boxes + change).clamp(0, 1)
