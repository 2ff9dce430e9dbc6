"""Attention that looks at a few places of every map, and learns which.

Source: Zhu et al. 2021, arXiv:2010.04159, equation 3. No compiled operator: `grid_sample` reads the places.
Differs: no mask; what was padded is looked at like the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor, nn


class Memory(NamedTuple):
    """Maps of several sizes, their pixels one after the other."""

    tokens: Tensor
    """(B, sum of H * W, C)"""
    sizes: tuple[tuple[int, int], ...]
    """Height and width of each map, in the order of the tokens."""


def flatten_maps(maps: Sequence[Tensor]) -> Memory:
    """Maps (B, C, H, W), in this order."""
    sizes = tuple((each.shape[2], each.shape[3]) for each in maps)
    return Memory(torch.cat([each.flatten(2).transpose(1, 2) for each in maps], 1), sizes)


def unflatten_maps(memory: Memory) -> list[Tensor]:
    """The maps (B, C, H, W) again."""
    parts = memory.tokens.split([height * width for height, width in memory.sizes], 1)
    return [part.transpose(1, 2).unflatten(2, size) for part, size in zip(parts, memory.sizes, strict=True)]


class DeformableAttention(nn.Module):
    """Queries (B, Q, C) and where each is -> what it finds around there, (B, Q, C).

    To be run in fp32: bf16 has 8 bits for a place, which is half a pixel of a map of 128.
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
        """At first each head looks in a direction of its own, its points one step further out each, all alike."""
        heads, levels, points = self.shape
        angle = torch.arange(heads) * (2 * math.pi / heads)
        direction = torch.stack([angle.cos(), angle.sin()], -1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, points + 1).view(1, 1, points, 1)
        nn.init.zeros_(self.offsets.weight)
        with torch.no_grad():
            self.offsets.bias.copy_((direction.view(heads, 1, 1, 2) * steps).expand(-1, levels, -1, -1).flatten())
        nn.init.zeros_(self.weights.weight)
        for linear in (self.value, self.output):
            nn.init.xavier_uniform_(linear.weight)
        for linear in (self.weights, self.value, self.output):
            nn.init.zeros_(linear.bias)

    def forward(self, queries: Tensor, references: Tensor, memory: Memory) -> Tensor:
        """Where queries are, references (B or 1, Q, 2) or boxes (B, Q, 4), in shares of the image.

        Offsets from a point are in pixels of each map; from a box in eighths of its size, so that the four points
        reach to its edge at first.
        """
        heads, levels, points = self.shape
        offsets = self.offsets(queries).unflatten(-1, (heads, levels, points, 2))
        weights = self.weights(queries).unflatten(-1, (heads, levels * points)).softmax(-1)
        weights = weights.unflatten(-1, (levels, points))
        values = self.value(memory.tokens).unflatten(-1, (heads, -1))
        around = references[:, :, None, None, None]
        if references.shape[-1] == 2:
            pixels = offsets.new_tensor([[width, height] for height, width in memory.sizes])
            places = around + offsets / pixels[:, None]
        else:
            places = around[..., :2] + offsets / points * around[..., 2:] * 0.5
        return self.output(look_up(Memory(values, memory.sizes), places, weights))


def look_up(values: Memory, places: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum of what lies at places, linear between pixels and 0 outside, (B, Q, heads * D).

    values (B, S, heads, D), places (B, Q, heads, levels, points, 2) as x and y, weights the same without the 2.
    """
    batch, _, heads, _ = values.tokens.shape
    parts = values.tokens.split([height * width for height, width in values.sizes], 1)
    found = []
    for level, (part, size) in enumerate(zip(parts, values.sizes, strict=True)):
        maps = part.permute(0, 2, 3, 1).flatten(0, 1).unflatten(-1, size)  # (B * heads, D, H, W)
        grid = places[:, :, :, level].transpose(1, 2).flatten(0, 1) * 2 - 1  # (B * heads, Q, points, 2)
        read = F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        share = weights[:, :, :, level].transpose(1, 2).flatten(0, 1)[:, None]  # (B * heads, 1, Q, points)
        found.append((read * share).sum(-1))  # (B * heads, D, Q)
    return torch.stack(found).sum(0).unflatten(0, (batch, heads)).permute(0, 3, 1, 2).flatten(2)
