"""Attention to a few places of every map, which are learned.

Source: Zhu et al. 2021, arXiv:2010.04159, equation 3. No compiled operator: `grid_sample` reads the places.
Differs: there is no mask; padding is attended to like the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor, nn


class Memory(NamedTuple):
    """The pixels of maps of several sizes, as one sequence."""

    tokens: Tensor
    """(B, sum of H * W, C)"""
    sizes: tuple[tuple[int, int], ...]
    """Height and width of each map, in the order of the tokens."""


def flatten_maps(maps: Sequence[Tensor]) -> Memory:
    """Return the memory of maps (B, C, H, W), in the same order."""
    tokens = torch.cat([features.flatten(2).transpose(1, 2) for features in maps], 1)
    return Memory(tokens, tuple((features.shape[2], features.shape[3]) for features in maps))


def unflatten_maps(memory: Memory) -> list[Tensor]:
    """Return the maps (B, C, H, W) of a memory."""
    parts = memory.tokens.split([height * width for height, width in memory.sizes], 1)
    return [part.transpose(1, 2).unflatten(2, size) for part, size in zip(parts, memory.sizes, strict=True)]


class DeformableAttention(nn.Module):
    """Queries (B, Q, C) and their places to the attended features (B, Q, C).

    Must run in fp32: bf16 has 8 bits for a coordinate, so it is off by half a pixel on a map of 128.
    """

    def __init__(self, width: int, *, levels: int = 3, heads: int = 8, points: int = 4) -> None:
        super().__init__()
        self.shape = (heads, levels, points)
        self.offsets = nn.Linear(width, heads * levels * points * 2)
        self.weights = nn.Linear(width, heads * levels * points)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the initial offsets: each head has its own direction, in which each point is one step further out.

        All points have the same weight at first.
        """
        heads, levels, points = self.shape
        angle = torch.arange(heads) * (2 * math.pi / heads)
        direction = torch.stack([angle.cos(), angle.sin()], -1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, points + 1).view(1, 1, points, 1)
        nn.init.zeros_(self.offsets.weight)
        offsets = direction.view(heads, 1, 1, 2) * steps
        with torch.no_grad():
            self.offsets.bias.copy_(offsets.expand(-1, levels, -1, -1).flatten())
        nn.init.zeros_(self.weights.weight)
        for linear in (self.value, self.output):
            nn.init.xavier_uniform_(linear.weight)
        for linear in (self.weights, self.value, self.output):
            nn.init.zeros_(linear.bias)

    def forward(self, queries: Tensor, references: Tensor, memory: Memory) -> Tensor:
        """Return the attended features (B, Q, C).

        References are the places of the queries as fractions of the image: points, (B or 1, Q, 2), or boxes,
        (B, Q, 4). Offsets from a point are in pixels of each map; offsets from a box are in eighths of its size,
        so that the initial four points reach to its edge.
        """
        heads, levels, points = self.shape
        offsets = self.offsets(queries).unflatten(-1, (heads, levels, points, 2))
        weights = self.weights(queries).unflatten(-1, (heads, levels * points)).softmax(-1)
        weights = weights.unflatten(-1, (levels, points))
        values = self.value(memory.tokens).unflatten(-1, (heads, -1))
        origins = references[:, :, None, None, None]
        if references.shape[-1] == 2:
            sizes = torch.tensor([[width, height] for height, width in memory.sizes], dtype=offsets.dtype)
            pixels = sizes.to(offsets.device, non_blocking=True)  # otherwise it waits for the GPU
            places = origins + offsets / pixels[:, None]
        else:
            places = origins[..., :2] + offsets / points * origins[..., 2:] * 0.5
        return self.output(weighted_sum(Memory(values, memory.sizes), places, weights))


def weighted_sum(values: Memory, places: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of the values at the places, (B, Q, heads * D).

    values are (B, S, heads, D), places (B, Q, heads, levels, points, 2) as x and y, and weights have the shape of
    the places without the 2. Values are interpolated linearly between pixels and are 0 outside.
    """
    batch, _, heads, _ = values.tokens.shape
    parts = values.tokens.split([height * width for height, width in values.sizes], 1)
    sums = []
    for level, (part, size) in enumerate(zip(parts, values.sizes, strict=True)):
        maps = part.permute(0, 2, 3, 1).flatten(0, 1).unflatten(-1, size)  # (B * heads, D, H, W)
        grid = places[:, :, :, level].transpose(1, 2).flatten(0, 1) * 2 - 1  # (B * heads, Q, points, 2)
        sampled = F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        level_weights = weights[:, :, :, level].transpose(1, 2).flatten(0, 1)[:, None]  # (B * heads, 1, Q, points)
        sums.append((sampled * level_weights).sum(-1))  # (B * heads, D, Q)
    return torch.stack(sums).sum(0).unflatten(0, (batch, heads)).permute(0, 3, 1, 2).flatten(2)
