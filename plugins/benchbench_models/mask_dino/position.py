"""Where a pixel or a box is, as sines and cosines."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SLOWEST = 10_000.0  # period of the last pair of channels, in images


def waves(positions: Tensor, channels: int) -> Tensor:
    """Positions (...) in shares of the image -> (..., channels), sine and cosine in turn, ever slower.

    Source: Vaswani et al. 2017, arXiv:1706.03762.
    """
    pair = torch.arange(channels // 2, device=positions.device, dtype=torch.float32)
    angles = 2 * math.pi * positions[..., None] / _SLOWEST ** (2 * pair / channels)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)


def map_position(size: tuple[int, int], channels: int, *, device: torch.device) -> Tensor:
    """The position of every pixel of a map, row by row, (H * W, channels): half of them for y, then x.

    The last pixel is at 1, the first not at 0: pixels are counted from one.
    """
    down, across = (
        waves(torch.arange(1, length + 1, device=device) / (length + 1e-6), channels // 2) for length in size
    )
    height, width = size
    return torch.cat([down[:, None].expand(-1, width, -1), across[None].expand(height, -1, -1)], -1).flatten(0, 1)


def box_position(boxes: Tensor, channels: int) -> Tensor:
    """The place and size of boxes (..., 4) as (..., 4 * channels): y, x, width, height."""
    centre_x, centre_y, width, height = boxes.unbind(-1)
    return waves(torch.stack([centre_y, centre_x, width, height], -1), channels).flatten(-2)
