"""DropBlock: dropout of connected blocks, whose rate rises while a network learns.

Source: Ghiasi et al. 2018, arXiv:1810.12890, in 2D and, with cubes for squares, in 3D.
Differs: a block is no larger than the feature map, so that a map smaller than the block loses a channel at a time;
the rate rises with every optimiser step, not with every epoch.
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


class DropBlock(nn.Module):
    """In training, sets blocks of 5 voxels a side to zero, in each channel its own, and scales up what is left.

    About a share `rate` of the voxels is dropped from step `steps` on; before, the share rises linearly from 0. A
    step is a forward pass in training mode that records gradients, which is what an optimiser step has one of; it
    is counted in the state, so that a training that is resumed goes on at its rate. Evaluation and sliding windows
    neither drop nor count. Where gradients are accumulated over several passes, each of them counts.
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
        kept = _kept(x, rate)
        return x * (kept * (kept.numel() / kept.sum().clamp(min=1))).to(x.dtype)


def _kept(x: Tensor, rate: Tensor) -> Tensor:
    """1 where (B, C, *space) stays and 0 in the blocks, in float32: half precision cannot count the voxels."""
    space = x.shape[2:]
    block = [min(BLOCK, size) for size in space]
    places = [size - side + 1 for size, side in zip(space, block, strict=True)]
    chance = rate * (math.prod(space) / math.prod(block) / math.prod(places))
    corners = (torch.rand(*x.shape[:2], *places, device=x.device) < chance).float()
    margin = [side - 1 for side in reversed(block) for _ in range(2)]
    pool = F.max_pool2d if len(space) == 2 else F.max_pool3d
    return 1 - pool(F.pad(corners, margin), kernel_size=block, stride=1)
