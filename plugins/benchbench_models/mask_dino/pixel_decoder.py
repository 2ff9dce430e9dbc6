"""Attention between the maps of the backbone, and the fine map from which masks are predicted.

Source: Li et al. 2023, arXiv:2206.02777; Zhu et al. 2021, arXiv:2010.04159.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor, nn

from benchbench_models.mask_dino.deformable import DeformableAttention, Memory, flatten_maps, unflatten_maps
from benchbench_models.mask_dino.layers import WIDTH, FeedForward
from benchbench_models.mask_dino.position import map_position

LEVELS = 3
"""Number of maps with attention: 1/8, 1/16 and 1/32 of the image."""
_FEEDFORWARD = 1024
_GROUPS = 32


class EncoderLayer(nn.Module):
    """Attention from every pixel to its surroundings on all maps, then a feed-forward layer."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = DeformableAttention(WIDTH, levels=LEVELS)
        self.norm = nn.LayerNorm(WIDTH)
        self.feed_forward = FeedForward(_FEEDFORWARD)

    def forward(self, memory: Memory, position: Tensor, centres: Tensor) -> Memory:
        x = memory.tokens
        x = self.norm(x + self.attention(x + position, centres, memory))
        return Memory(self.feed_forward(x), memory.sizes)


class PixelDecoder(nn.Module):
    """Four maps of the backbone, finest first, to the mask map at 1/4 and the three below, coarsest first."""

    def __init__(self, channels: Sequence[int], *, layers: int) -> None:
        super().__init__()
        finest, *rest = channels
        self.projections = nn.ModuleList(_projection(map_channels) for map_channels in reversed(rest))
        self.level_position = nn.Parameter(torch.randn(LEVELS, WIDTH))
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(layers))
        self.lateral = _convolution(finest, kernel=1)
        self.smooth = _convolution(WIDTH, kernel=3)
        self.to_masks = nn.Conv2d(WIDTH, WIDTH, kernel_size=1)
        for convolution in (self.lateral[0], self.smooth[0], self.to_masks):
            nn.init.kaiming_uniform_(convolution.weight, a=1)
        nn.init.zeros_(self.to_masks.bias)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        finest, *rest = maps
        projected = [project(features) for project, features in zip(self.projections, rest[::-1], strict=True)]
        levels = self.encode(projected)
        lateral = self.lateral(finest)
        above = F.interpolate(levels[-1], lateral.shape[2:], mode="bilinear", align_corners=False)
        return self.to_masks(F.relu(self.smooth(lateral + above))), levels

    def encode(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the maps after the encoder layers, all (B, WIDTH, H, W), coarsest first."""
        memory = flatten_maps(maps)
        device = memory.tokens.device
        positions = []
        for size, level_position in zip(memory.sizes, self.level_position, strict=True):
            positions.append(map_position(size, WIDTH, device=device) + level_position)
        position = torch.cat(positions)
        centres = torch.cat([pixel_centres(size, device=device) for size in memory.sizes])[None]
        for layer in self.layers:
            memory = layer(memory, position, centres)
        return unflatten_maps(memory)


def pixel_centres(size: tuple[int, int], *, device: torch.device) -> Tensor:
    """Return the centres (H * W, 2) of a map's pixels as x, y in fractions of the image, row by row."""
    down, across = ((torch.arange(length, device=device) + 0.5) / length for length in size)
    y, x = torch.meshgrid(down, across, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


def _projection(channels: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, WIDTH, kernel_size=1)
    nn.init.xavier_uniform_(convolution.weight)
    nn.init.zeros_(convolution.bias)
    return nn.Sequential(convolution, nn.GroupNorm(_GROUPS, WIDTH))


def _convolution(channels: int, *, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, WIDTH, kernel_size=kernel, padding=kernel // 2, bias=False),
        nn.GroupNorm(_GROUPS, WIDTH),
    )
