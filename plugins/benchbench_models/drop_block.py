"""DropBlock: dropout of connected blocks, at a rate that rises while a network is trained.

Source: Ghiasi et al. 2018, arXiv:1810.12890, in 2D and, with cubes for squares, in 3D.
Differs: a block is no larger than the feature map, so a map smaller than the block loses whole channels; the rate
rises with every optimiser step, not with every epoch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 torch's own name for it

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 5
"""Edge of a block in voxels."""


class DropBlock(nn.Module):
    """In training, sets blocks of 5 voxels a side to zero, differently in each channel, and scales up the rest.

    About a share `rate` of the voxels is dropped from step `steps` on; before, the share rises linearly from 0. A
    step is a forward pass in training mode that records gradients, as an optimiser step has one of them. Where
    gradients are accumulated over several passes, every pass counts. Steps are counted in the state, so a training
    that is resumed continues at its rate. Evaluation and sliding windows neither drop nor count.
    """

    def __init__(self, rate: float, *, steps: int) -> None:
        super().__init__()
        self.rate = rate
        self.steps = steps
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *space) to the same shape."""
        if not self.training:
            return x
        rate = self.rate * (self.taken / self.steps).clamp(max=1)
        if torch.is_grad_enabled():
            self.taken += 1
        mask = _keep_mask(x, rate)
        scale = mask.numel() / mask.sum().clamp(min=1)
        return x * (mask * scale).to(x.dtype)


def _keep_mask(x: Tensor, rate: Tensor) -> Tensor:
    """Return (B, C, *space), 0 in the blocks and 1 elsewhere, in float32: half precision cannot count voxels."""
    space = x.shape[2:]
    block = [min(BLOCK, size) for size in space]
    corner_space = [size - side + 1 for size, side in zip(space, block, strict=True)]
    corner_rate = rate * (math.prod(space) / math.prod(block) / math.prod(corner_space))
    corners = (torch.rand(*x.shape[:2], *corner_space, device=x.device) < corner_rate).float()
    margins: list[int] = []
    for side in reversed(block):
        margins += [side - 1, side - 1]
    pool = F.max_pool2d if len(space) == 2 else F.max_pool3d
    return 1 - pool(F.pad(corners, margins), kernel_size=block, stride=1)
