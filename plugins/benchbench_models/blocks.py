"""The parts that the U-Nets are built of, in 2D and in 3D."""

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
MakeDropout = Callable[[], nn.Module]
"""Makes the layer that drops part of the output of a convolution."""

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
    """Makes the layers of a network, which all normalise and activate in the same way."""

    ndim: int
    """Number of spatial axes."""
    norm: Norm = "batch"
    activation: Activation = "relu"
    bias: bool = False
    """Convolutions have a bias even if they are normalised."""

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
        """Return the layer from features to logits."""
        return _CONVOLUTIONS[self.ndim](in_channels, out_channels, kernel_size=1)

    def upsampling(self, in_channels: int, out_channels: int) -> nn.Module:
        """Return a transposed convolution to twice the size."""
        return _TRANSPOSED[self.ndim](in_channels, out_channels, kernel_size=2, stride=2)

    def pool(self) -> nn.Module:
        return _POOLS[self.ndim](2)

    def spatial_dropout(self, rate: float) -> list[nn.Module]:
        """Return the layer that zeroes whole channels; no layer at a rate of 0."""
        return [_DROPOUTS[self.ndim](rate)] if rate else []

    def normalisation(self, channels: int) -> list[nn.Module]:
        """Return the normalisation with a learned scale and shift; no layer for the norm "none"."""
        if self.norm == "group":
            return [nn.GroupNorm(math.gcd(GROUPS, channels), channels)]
        if self.norm == "instance":
            return [_INSTANCE_NORMS[self.ndim](channels, affine=True)]
        if self.norm == "batch":
            return [_BATCH_NORMS[self.ndim](channels)]
        return []

    def activation_layer(self) -> nn.Module:
        """Return the activation, which works in place: no layer needs its input again."""
        if self.activation == "relu":
            return nn.ReLU(inplace=True)
        return nn.LeakyReLU(LEAK, inplace=True)

    def normalised_convolution(
        self, in_channels: int, out_channels: int, *, stride: int = 1, dropout: MakeDropout | None = None
    ) -> list[nn.Module]:
        """Return a 3×3 convolution, the dropout of its output, if any, and its normalisation."""
        layers = [self.convolution(in_channels, out_channels, stride=stride)]
        if dropout is not None:
            layers.append(dropout())
        return [*layers, *self.normalisation(out_channels)]


def plain_block(
    layers: Layers, in_channels: int, out_channels: int, *, stride: int = 1, dropout: MakeDropout | None = None
) -> nn.Sequential:
    """Return two convolutions, each normalised and activated, the first with the stride."""
    first = layers.normalised_convolution(in_channels, out_channels, stride=stride, dropout=dropout)
    second = layers.normalised_convolution(out_channels, out_channels, dropout=dropout)
    return nn.Sequential(*first, layers.activation_layer(), *second, layers.activation_layer())


class ResidualBlock(nn.Module):
    """The two convolutions of the plain block, the input added before the second activation.

    Where size or channels change, the input passes through a 3×3 convolution of the same stride and its
    normalisation.
    """

    def __init__(
        self,
        layers: Layers,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        dropout: MakeDropout | None = None,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *layers.normalised_convolution(in_channels, out_channels, stride=stride, dropout=dropout),
            layers.activation_layer(),
            *layers.normalised_convolution(out_channels, out_channels, dropout=dropout),
        )
        projection: list[nn.Module] = []
        if stride != 1 or in_channels != out_channels:
            projection = layers.normalised_convolution(in_channels, out_channels, stride=stride, dropout=dropout)
        self.shortcut = nn.Sequential(*projection)
        self.activation = layers.activation_layer()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x) + self.shortcut(x))


class AttentionGate(nn.Module):
    """Scales every voxel of a skip by a weight in (0, 1), computed from it and from the deeper level's features.

    Both are projected to half of their channels and added; all convolutions have the size `kernel`.
    """

    def __init__(self, layers: Layers, channels: int, *, kernel: int) -> None:
        super().__init__()

        def projection(in_channels: int, out_channels: int) -> nn.Sequential:
            convolution = layers.convolution(in_channels, out_channels, kernel=kernel)
            return nn.Sequential(convolution, *layers.normalisation(out_channels))

        self.risen = projection(channels, channels // 2)
        self.skip = projection(channels, channels // 2)
        self.weight = projection(channels // 2, 1)

    def forward(self, risen: Tensor, skip: Tensor) -> Tensor:
        """Return the weighted skip; both inputs are (B, channels, *space), the deeper features enlarged before."""
        joined = (self.risen(risen) + self.skip(skip)).relu_()
        return skip * self.weight(joined).sigmoid()


class DecoderLevel(nn.Module):
    """One level of the decoder: features are enlarged, joined with the skip and passed through a block.

    The skip may pass a gate before.
    """

    def __init__(self, up: nn.Module, block: nn.Module, *, gate: AttentionGate | None = None) -> None:
        super().__init__()
        self.up = up
        self.gate = gate
        self.block = block

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return the features of this level from those of the deeper one and the skip, which is twice as large.

        All are (B, channels, *space).
        """
        x = self.up(x)
        if self.gate is not None:
            skip = self.gate(x, skip)
        return self.block(torch.cat((x, skip), dim=1))


class UShape(nn.Module):
    """A U-Net: (B, in_channels, *patch) to logits (B, out_channels, *patch) of the finest head.

    encoder: a block for every level, finest first; all but the first halve the size of their input.
    decoder: a block for every level but the coarsest, coarsest first.
    heads: the layers from features to logits, finest level first. With more than one, the network returns a list
    of logits in training, each half as large as the one before.
    """

    uses_all_parameters = True

    def __init__(
        self, encoder: Iterable[nn.Module], decoder: Iterable[DecoderLevel], heads: Iterable[nn.Module]
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(encoder)
        self.decoder = nn.ModuleList(decoder)
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        skips = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
        head_count = len(self.heads) if self.training else 1
        features = [skips.pop()]
        for level in self.decoder:
            features.append(level(features[-1], skips.pop()))
            features = features[-head_count:]  # frees the memory of features that no head reads
        if head_count == 1:
            return self.heads[0](features[-1])
        return [head(features.pop()) for head in self.heads]


def doubled_widths(width: int, depth: int) -> tuple[int, ...]:
    """Return the channels of each level, finest first, twice as many after each of `depth` halvings."""
    return tuple(width * 2**level for level in range(depth + 1))
