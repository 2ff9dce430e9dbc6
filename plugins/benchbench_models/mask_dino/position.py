"""The position of pixels and boxes, encoded as sines and cosines."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SLOWEST = 10_000.0  # period of the last pair of channels, in images


def waves(positions: Tensor, channels: int) -> Tensor:
    """Encode positions (...) in fractions of the image as (..., channels), alternately sine and cosine.

    Every pair has a longer period than the one before.

    Source: Vaswani et al. 2017, arXiv:1706.03762.
    """
    pair = torch.arange(channels // 2, device=positions.device, dtype=torch.float32)
    periods = _SLOWEST ** (2 * pair / channels)
    angles = 2 * math.pi * positions[..., None] / periods
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)


def map_position(size: tuple[int, int], channels: int, *, device: torch.device) -> Tensor:
    """Return the encoded position of every pixel of a map, row by row, (H * W, channels).

    The first half of the channels encodes y, the second x. The last pixel is at 1, but the first is not at 0:
    pixels are counted from one.
    """
    height, width = size
    rows = torch.arange(1, height + 1, device=device) / (height + 1e-6)
    columns = torch.arange(1, width + 1, device=device) / (width + 1e-6)
    y = waves(rows, channels // 2)[:, None].expand(-1, width, -1)
    x = waves(columns, channels // 2)[None].expand(height, -1, -1)
    return torch.cat([y, x], -1).flatten(0, 1)


def box_position(boxes: Tensor, channels: int) -> Tensor:
    """Return the encoded centre and size of boxes (..., 4) as (..., 4 * channels): y, x, width, height."""
    centre_x, centre_y, width, height = boxes.unbind(-1)
    return waves(torch.stack([centre_y, centre_x, width, height], -1), channels).flatten(-2)
