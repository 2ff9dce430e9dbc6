"""The targets of an image: one mask and one box for every class that is present."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchbench_models.mask_dino.boxes import mask_boxes


class Targets(NamedTuple):
    """The targets of B images, by class."""

    masks: Tensor
    """bool (B, classes, H, W); masks may overlap."""
    boxes: Tensor
    """(B, classes, 4): the box around the whole mask; zeros where the class is absent."""
    is_present: Tensor
    """bool (B, classes)"""
    is_present_on_cpu: Tensor
    """The same, copied once: sizes depend on it, and every further copy would wait for the GPU."""


def region_targets(regions: Tensor, *, classes: int) -> Targets:
    """Return the targets of region masks, bool (B, K, H, W).

    Each region is a class. Where there is one class more than regions, the first is the background, which no
    region covers.
    """
    masks = regions
    if classes > regions.shape[1]:
        background = ~regions.any(1, keepdim=True)
        masks = torch.cat([background, regions], 1)
    is_present = masks.flatten(2).any(-1)
    return Targets(masks, mask_boxes(masks), is_present, is_present.cpu())
