"""Masks at points between pixels: losses and costs need no more, and cost a fraction of whole masks.

Source: Kirillov et al. 2020, arXiv:1912.08193; Cheng et al. 2022, arXiv:2112.01527.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor

_CANDIDATES = 3  # drawn for each point that is kept
_UNCERTAIN = 0.75  # share of the points that are chosen, not drawn


def read_points(maps: Tensor, points: Tensor) -> Tensor:
    """Maps (N, C, H, W) at points (N, P, 2), x and y in shares of the map -> (N, C, P), between pixels linear."""
    return F.grid_sample(maps, points[:, None] * 2 - 1, align_corners=False)[:, :, 0]


def uncertain_points(logits: Tensor, *, count: int) -> Tensor:
    """Points (N, count, 2) of masks (N, H, W); three quarters are the nearest to the edge among many drawn."""
    masks = len(logits)
    drawn = torch.rand(masks, _CANDIDATES * count, 2, device=logits.device)
    certainty = read_points(logits[:, None], drawn)[:, 0].abs()
    chosen = certainty.topk(int(_UNCERTAIN * count), dim=1, largest=False).indices
    rest = torch.rand(masks, count - chosen.shape[1], 2, device=logits.device)
    return torch.cat([drawn.gather(1, chosen[..., None].expand(-1, -1, 2)), rest], 1)
