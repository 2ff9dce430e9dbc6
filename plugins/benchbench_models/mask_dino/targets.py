"""What there is to find in an image: one mask and one box for every class that is present."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchbench_models.mask_dino.boxes import mask_boxes


class Targets(NamedTuple):
    """What there is to find in B images, by class."""

    masks: Tensor
    """bool (B, classes, H, W); they may overlap."""
    boxes: Tensor
    """(B, classes, 4): around the whole mask; zeros where there is none."""
    is_present: Tensor
    """bool (B, classes)"""


def region_targets(regions: Tensor, *, classes: int) -> Targets:
    """The targets of region masks, bool (B, K, H, W).

    Each region is a class. Where there is one class more than regions, the first is the background: what no region
    covers.
    """
    background = ~regions.any(1, keepdim=True)
    masks = torch.cat([background, regions], 1) if classes > regions.shape[1] else regions
    return Targets(masks, mask_boxes(masks), masks.flatten(2).any(-1))
