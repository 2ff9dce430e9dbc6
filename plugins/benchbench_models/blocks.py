"""What the U-Nets are built of, in 2D and in 3D."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

Norm = Literal["batch", "instance", "group", "none"]
Activation = Literal["relu", "leaky_relu"]

LEAK = 0.01
"""Slope of the leaky ReLU below zero."""
GROUPS = 8
"""Groups of group normalisation; fewer where they would not divide the channels."""

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_POOLS = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_DROPOUTS = {2: nn.Dropout2d, 3: nn.Dropout3d}
_BATCH_NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE_NORMS = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


@dataclass(frozen=True, kw_only=True)
class Layers:
    """The layers of a network over `ndim` spatial axes, which normalises and activates in one way throughout.

    Normalised convolutions have no bias, unless it is asked for.
    """

    ndim: int
    norm: Norm = "batch"
    activation: Activation = "relu"
    bias: bool = False

    def convolution(self, in_channels: int, out_channels: int, *, kernel: int = 3, stride: int = 1) -> nn.Module:
        return _CONVOLUTIONS[self.ndim](
            in_channels,
            out_channels,
            kernel_size=kernel,
            stride=stride,
            padding=kernel // 2,
            bias=self.bias or self.norm == "none",
        )

    def head(self, in_channels: int, out_channels: int) -> nn.Module:
        """Features to logits."""
        return _CONVOLUTIONS[self.ndim](in_channels, out_channels, kernel_size=1)

    def doubling(self, in_channels: int, out_channels: int) -> nn.Module:
        """A transposed convolution to twice the size."""
        return _TRANSPOSED[self.ndim](in_channels, out_channels, kernel_size=2, stride=2)

    def pool(self) -> nn.Module:
        return _POOLS[self.ndim](2)

    def spatial_dropout(self, rate: float) -> list[nn.Module]:
        """Zeroes whole channels; empty at a rate of 0."""
        return [_DROPOUTS[self.ndim](rate)] if rate else []

    def normalisation(self, channels: int) -> list[nn.Module]:
        """With a learned scale and shift; empty for none."""
        if self.norm == "group":
            return [nn.GroupNorm(math.gcd(GROUPS, channels), channels)]
        if self.norm == "instance":
            return [_INSTANCE_NORMS[self.ndim](channels, affine=True)]
        return [_BATCH_NORMS[self.ndim](channels)] if self.norm == "batch" else []

    def activate(self) -> nn.Module:
        """In place: what is normalised or added up is not needed again as it was."""
        return nn.ReLU(inplace=True) if self.activation == "relu" else nn.LeakyReLU(LEAK, inplace=True)

    def normalised(
        self, in_channels: int, out_channels: int, *, stride: int = 1, drop: Drop | None = None
    ) -> list[nn.Module]:
        """A 3×3 convolution, what drops some of its output, and its normalisation."""
        dropping = [drop()] if drop else []
        convolution = self.convolution(in_channels, out_channels, stride=stride)
        return [convolution, *dropping, *self.normalisation(out_channels)]


Drop = Callable[[], nn.Module]
"""Makes the layer that drops part of the output of a convolution."""


def plain_block(
    layers: Layers, in_channels: int, out_channels: int, *, stride: int = 1, drop: Drop | None = None
) -> nn.Sequential:
    """Two convolutions, each normalised and activated; the first has the stride."""
    first = layers.normalised(in_channels, out_channels, stride=stride, drop=drop)
    second = layers.normalised(out_channels, out_channels, drop=drop)
    return nn.Sequential(*first, layers.activate(), *second, layers.activate())


class ResidualBlock(nn.Module):
    """The two convolutions of the plain block, the input added before the second activation.

    Where size or channels change, the input passes through a 3×3 convolution of the same stride and its
    normalisation.
    """

    def __init__(
        self, layers: Layers, in_channels: int, out_channels: int, *, stride: int = 1, drop: Drop | None = None
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *layers.normalised(in_channels, out_channels, stride=stride, drop=drop),
            layers.activate(),
            *layers.normalised(out_channels, out_channels, drop=drop),
        )
        same = stride == 1 and in_channels == out_channels
        projection = [] if same else layers.normalised(in_channels, out_channels, stride=stride, drop=drop)
        self.shortcut = nn.Sequential(*projection)
        self.activation = layers.activate()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x) + self.shortcut(x))


class AttentionGate(nn.Module):
    """Scales every voxel of a skip by a weight in (0, 1), found from it and from what rises from below.

    Both are brought to half of their channels and added; convolutions of size `kernel` throughout.
    """

    def __init__(self, layers: Layers, channels: int, *, kernel: int) -> None:
        super().__init__()
        self.risen, self.skip, self.weight = (
            nn.Sequential(layers.convolution(a, b, kernel=kernel), *layers.normalisation(b))
            for a, b in ((channels, channels // 2), (channels, channels // 2), (channels // 2, 1))
        )

    def forward(self, risen: Tensor, skip: Tensor) -> Tensor:
        """Two (B, channels, *space) to the second, weighted."""
        return skip * self.weight((self.risen(risen) + self.skip(skip)).relu_()).sigmoid()


class Rise(nn.Module):
    """One level up: to twice the size, joined with the skip, which may pass a gate, through a block."""

    def __init__(self, up: nn.Module, block: nn.Module, *, gate: AttentionGate | None = None) -> None:
        super().__init__()
        self.up = up
        self.gate = gate
        self.block = block

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(B, C, *space) and the skip of twice the size to as many channels as the block gives."""
        x = self.up(x)
        if self.gate is not None:
            skip = self.gate(x, skip)
        return self.block(torch.cat((x, skip), dim=1))


class UShape(nn.Module):
    """(B, in_channels, *patch) to logits (B, out_channels, *patch) of the finest head.

    encoder: a block for every level from the finest; all but the first halve what they are given.
    decoder: the way up, coarsest first, one fewer.
    heads: features of a level to logits, finest first. With more than one, a list of logits in training, each half
    as large as the one before.
    """

    def __init__(self, encoder: Iterable[nn.Module], decoder: Iterable[Rise], heads: Iterable[nn.Module]) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(encoder)
        self.decoder = nn.ModuleList(decoder)
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        skips = []
        for down in self.encoder:
            x = down(x)
            skips.append(x)
        wanted = len(self.heads) if self.training else 1
        risen = [skips.pop()]
        for up in self.decoder:
            # what no head reads is let go at once
            risen = [*risen, up(risen[-1], skips.pop())][-wanted:]
        if wanted == 1:
            return self.heads[0](risen[-1])
        return [head(risen.pop()) for head in self.heads]


def doubled(width: int, depth: int) -> tuple[int, ...]:
    """Channels of each level from the finest, twice as many after each of `depth` halvings."""
    return tuple(width * 2**level for level in range(depth + 1))
