"""Masks at points between pixels, where costs and losses take a fraction of the memory of whole masks.

Source: Kirillov et al. 2020, arXiv:1912.08193; Cheng et al. 2022, arXiv:2112.01527.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor

_CANDIDATES = 3  # random points for each one that is selected
_UNCERTAIN = 0.75  # share of the points that are near the edge; the others are random


def read_points(maps: Tensor, points: Tensor) -> Tensor:
    """Return maps (N, C, H, W) at points (N, P, 2) as (N, C, P), interpolated linearly between pixels.

    Points are x and y as fractions of the map.
    """
    return F.grid_sample(maps, points[:, None] * 2 - 1, align_corners=False)[:, :, 0]


def uncertain_points(logits: Tensor, *, count: int) -> Tensor:
    """Return points (N, count, 2) of masks (N, H, W): three quarters near the mask's edge, the others random."""
    masks = len(logits)
    candidates = torch.rand(masks, _CANDIDATES * count, 2, device=logits.device)
    certainty = read_points(logits[:, None], candidates)[:, 0].abs()
    selected = certainty.topk(int(_UNCERTAIN * count), dim=1, largest=False, sorted=False).indices
    uncertain = candidates.gather(1, selected[..., None].expand(-1, -1, 2))
    others = torch.rand(masks, count - selected.shape[1], 2, device=logits.device)
    return torch.cat([uncertain, others], 1)
