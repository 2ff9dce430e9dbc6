"""U-Net: encoder and decoder of 3×3 convolutions with a concatenated skip at every level, in 2D.

Source: Ronneberger et al. 2015, arXiv:1505.04597; the defaults are those of Buda et al. 2019,
doi:10.1016/j.compbiomed.2019.05.002, as published in mateuszbuda/brain-segmentation-pytorch.
Differs from Ronneberger et al.: convolutions are padded, so the output is as large as the input and no skip is
cropped; they are bias-free and followed by batch normalisation; width 32 instead of 64; no dropout at the end of
the contracting path; torch's default initialisation instead of He's.
Differs from Buda et al.: the output is logits, without the sigmoid; width, depth, batch normalisation and dropout
can be chosen.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

from benchbench import Geometry, IncompatibleError, ModelPlugin, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class UNet(nn.Module):
    """(B, in_channels, H, W) to logits (B, out_channels, H, W)."""

    def __init__(
        self, geometry: Geometry, *, width: int, depth: int, batch_norm: bool, spatial_dropout: float
    ) -> None:
        super().__init__()
        block = partial(_block, batch_norm=batch_norm, spatial_dropout=spatial_dropout)
        *skips, bottom = [width * 2**level for level in range(depth + 1)]
        rising = skips[::-1]
        self.encoder = nn.ModuleList(block(a, b) for a, b in pairwise([geometry.in_channels, *skips]))
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = block(skips[-1], bottom)
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, kernel_size=2, stride=2) for c in rising)
        self.decoder = nn.ModuleList(block(2 * c, c) for c in rising)
        self.head = nn.Conv2d(width, geometry.out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottleneck(x)
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat((up(x), skips.pop()), dim=1))
        return self.head(x)


def _block(in_channels: int, out_channels: int, *, batch_norm: bool, spatial_dropout: float) -> nn.Sequential:
    return nn.Sequential(
        *_convolution(in_channels, out_channels, batch_norm=batch_norm),
        *_convolution(out_channels, out_channels, batch_norm=batch_norm),
        nn.Dropout2d(spatial_dropout),
    )


def _convolution(in_channels: int, out_channels: int, *, batch_norm: bool) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=not batch_norm)
    norm = [nn.BatchNorm2d(out_channels)] if batch_norm else []
    return [convolution, *norm, nn.ReLU(inplace=True)]


def build(
    geometry: Geometry,
    *,
    width: int = 32,
    depth: int = 4,
    batch_norm: bool = True,
    spatial_dropout: float = 0.0,
) -> nn.Module:
    """A U-Net of `depth` poolings, `width` channels at full resolution and twice as many at each level below.

    Without batch normalisation the 3×3 convolutions have a bias, which it would have cancelled. Spatial dropout
    zeroes whole channels after the second activation of every block: encoder, bottleneck and decoder alike.

    Raises:
        IncompatibleError: the patch cannot be halved `depth` times, or a parameter is out of its range.
    """
    problems = []
    if width < 1:
        problems.append(f"unet: width is {width}, expected at least 1; choose another")
    if depth < 1:
        problems.append(f"unet: depth is {depth}, expected at least 1; choose another")
    elif any(size % 2**depth for size in geometry.patch):
        problems.append(
            f"unet: patch is {list(geometry.patch)}, expected multiples of {2**depth} at depth {depth}; "
            "change the protocol's patch or the depth"
        )
    if not 0 <= spatial_dropout < 1:
        problems.append(
            f"unet: spatial_dropout is {spatial_dropout}, expected a probability in [0, 1); choose another"
        )
    if problems:
        raise IncompatibleError(*problems)
    return UNet(geometry, width=width, depth=depth, batch_norm=batch_norm, spatial_dropout=spatial_dropout)


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    return [ModelPlugin(name="unet", build=build, source="arXiv:1505.04597", ndims=frozenset({2}))]
