"""Noised queries: the targets with wrong boxes and labels, for the decoder to put right in training.

They bypass the matching, whose changes of mind slow the training down.
Source: Li et al. 2022, arXiv:2203.01305; with masks, Li et al. 2023, arXiv:2206.02777.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchbench_models.mask_dino.boxes import box_logits
from benchbench_models.mask_dino.targets import Targets

_QUERIES = 100  # at most, in all groups
_NOISE = 0.4


class Noised(NamedTuple):
    """N noised queries of B images: groups one after the other, in each every target of the image once.

    An image with fewer targets than another has places that are not real: empty queries in the middle.
    """

    labels: Tensor
    """(B, N), some of them wrong."""
    anchors: Tensor
    """Boxes (B, N, 4), noised, before the sigmoid."""
    is_real: Tensor
    """bool (B, N)"""
    truth: Tensor
    """(B, N): the class that each was before."""
    groups: int


def noise_targets(targets: Targets, *, queries: int = _QUERIES) -> Noised | None:
    """As many groups as make `queries` or fewer; None where no image has a target, or one has more than that.

    A label becomes any class with a probability of half the noise; a box moves by up to half its size and grows or
    shrinks by up to its size, times the noise. Draws from torch's own generator, of the device.
    """
    most = int(targets.is_present.sum(1).max())
    groups = queries // most if most else 0
    if not groups:
        return None
    first = (~targets.is_present).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    truth = first.repeat(1, groups)
    is_real = targets.is_present.gather(1, truth)
    boxes = targets.boxes.gather(1, truth[..., None].expand(-1, -1, 4))
    anchors = box_logits(_noise_boxes(boxes)).masked_fill(~is_real[..., None], 0.0)
    return Noised(_noise_labels(truth, classes=targets.masks.shape[1]), anchors, is_real, truth, groups)


def hidden_from(noised: Noised, *, queries: int) -> Tensor:
    """What each query may not see, bool (N + Q, N + Q), the noised ahead.

    The others see no noised one, which know the answer, and a noised one only those of its group, and the others.
    """
    count = noised.labels.shape[1]
    group = torch.full((count + queries,), -1, device=noised.labels.device)
    group[:count] = torch.arange(count, device=group.device) // (count // noised.groups)
    return (group[:, None] != group) & (group >= 0)


def _noise_labels(labels: Tensor, *, classes: int) -> Tensor:
    flips = torch.rand(labels.shape, device=labels.device) < _NOISE / 2
    return torch.where(flips, torch.randint_like(labels, classes), labels)


def _noise_boxes(boxes: Tensor) -> Tensor:
    reach = torch.cat([boxes[..., 2:] / 2, boxes[..., 2:]], -1)
    return (boxes + (torch.rand_like(boxes) * 2 - 1) * reach * _NOISE).clamp(0, 1)
