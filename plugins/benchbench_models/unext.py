"""UNeXt and UNeXt-S: three levels of convolutions around two levels of shifted MLPs, in 2D.

Source: Valanarasu and Patel 2022, arXiv:2203.04967, and the authors' jeya-maria-jose/UNeXt-pytorch. Where the two
contradict each other, this is the code:
the first shift of a block is along the height, where the paper shifts along the width first;
the widths of UNeXt are 16, 32, 128, 160, 256 as in the paper's table 3, not 32, 64, 128, 160, 256 as in its text;
UNeXt-S has 253,561 parameters, where the paper prints 0.32 M.
Differs: the first convolution takes `in_channels`, where the code takes 3 whatever it is asked for; arguments that
the code ignores are left out, and so is its dropout inside the MLP, which is off by default.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.requirements import Requirements

if TYPE_CHECKING:
    from torch import Tensor

UNEXT_WIDTHS = (16, 32, 128, 160, 256)
UNEXT_S_WIDTHS = (8, 16, 32, 64, 128)
STRIDE = 32
REACH = 2


def shift(x: Tensor, axis: int) -> Tensor:
    """Moves five groups of channels by -2, -1, 0, 1 and 2 pixels along axis 2 or 3 of (B, C, H, W).

    Zeros flow in. The groups are those of `torch.chunk`: where C is no multiple of five, the last is smaller.
    """
    size = x.shape[axis]
    padding = (0, 0, REACH, REACH) if axis == 2 else (REACH, REACH)
    groups = F.pad(x, padding).chunk(2 * REACH + 1, dim=1)
    # what moves by +2 is read from 2 further up, where the padding is
    starts = reversed(range(2 * REACH + 1))
    moved = [group.narrow(axis, start, size) for group, start in zip(groups, starts, strict=True)]
    return torch.cat(moved, dim=1)


def _per_pixel(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer over the last axis, applied to the channels of (B, C, H, W)."""
    return layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return _per_pixel(self.norm, x)


class ShiftedBlock(nn.Module):
    """Residual MLP on (B, C, H, W) that sees its surroundings by shifted channels and a depthwise convolution.

    In training, a sample goes without its MLP with probability `drop_path`; the other MLPs are scaled up for it.
    """

    def __init__(self, channels: int, *, drop_path: float) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.fc1 = nn.Linear(channels, channels)
        self.depthwise = nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels)
        self.fc2 = nn.Linear(channels, channels)
        self.drop_path = nn.Dropout3d(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        y = _per_pixel(self.fc1, shift(self.norm(x), 2))
        y = F.gelu(self.depthwise(y))
        y = _per_pixel(self.fc2, shift(y, 3))
        # a sample passes as one channel, so it is dropped whole
        return x + self.drop_path(y.unsqueeze(1)).squeeze(1)


class UNeXt(nn.Module):
    """(B, in_channels, H, W) to logits (B, out_channels, H, W).

    A training batch of a single 32 × 32 image has one value a channel at the bottleneck, which batch
    normalisation refuses.
    """

    def __init__(self, geometry: Geometry, *, widths: tuple[int, int, int, int, int], drop_path: float) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = widths
        self.encoder = nn.ModuleList(
            [
                *(_down(a, b) for a, b in pairwise((geometry.in_channels, c1, c2, c3))),
                nn.Sequential(_embedding(c3, c4), _tokens(c4, drop_path=0.0)),
                nn.Sequential(_embedding(c4, c5), _tokens(c5, drop_path=drop_path / 2)),
            ]
        )
        self.up = nn.ModuleList(_up(a, b) for a, b in pairwise((c5, c4, c3, c2, c1)))
        self.merged = nn.ModuleList(
            [_tokens(c4, drop_path=0.0), _tokens(c3, drop_path=drop_path / 2), nn.Identity(), nn.Identity()]
        )
        self.last = nn.Sequential(nn.Conv2d(c1, c1, kernel_size=3, padding=1), _upsampling(), nn.ReLU())
        self.head = nn.Conv2d(c1, geometry.out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        skips.pop()
        for up, merged in zip(self.up, self.merged, strict=True):
            x = merged(up(x) + skips.pop())
        return self.head(self.last(x))


def _down(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.MaxPool2d(2),
        nn.ReLU(),
    )


def _up(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.BatchNorm2d(out_channels),
        _upsampling(),
        nn.ReLU(),
    )


def _upsampling() -> nn.Upsample:
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)


def _embedding(in_channels: int, out_channels: int) -> nn.Module:
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1)
    return nn.Sequential(convolution, ChannelNorm(out_channels)).apply(_init_tokens)


def _tokens(channels: int, *, drop_path: float) -> nn.Module:
    return nn.Sequential(ShiftedBlock(channels, drop_path=drop_path), ChannelNorm(channels)).apply(_init_tokens)


def _init_tokens(layer: nn.Module) -> None:
    """The initialisation of embeddings and blocks; the convolutions around them keep torch's own."""
    if isinstance(layer, nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.Conv2d):
        fan_out = math.prod(layer.kernel_size) * layer.out_channels // layer.groups
        nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
        nn.init.zeros_(layer.bias)


def build_unext(geometry: Geometry, *, drop_path: float = 0.0) -> nn.Module:
    """UNeXt; half of `drop_path` is the rate of the bottleneck block and of the last block, 0 that of the others.

    Raises:
        IncompatibleError: the patch is no multiple of 32, or `drop_path` is no probability.
    """
    _require("unext", geometry, drop_path=drop_path)
    return UNeXt(geometry, widths=UNEXT_WIDTHS, drop_path=drop_path)


def build_unext_s(geometry: Geometry, *, drop_path: float = 0.0) -> nn.Module:
    """UNeXt-S, half as wide or less; `drop_path` and errors as in `build_unext`."""
    _require("unext_s", geometry, drop_path=drop_path)
    return UNeXt(geometry, widths=UNEXT_S_WIDTHS, drop_path=drop_path)


def _require(name: str, geometry: Geometry, *, drop_path: float) -> None:
    need = Requirements(name)
    need.that(
        not any(size % STRIDE for size in geometry.patch),
        f"patch is {list(geometry.patch)}, expected multiples of {STRIDE}; change the protocol's patch",
    )
    need.probability(drop_path=drop_path)
    need.check()


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    counts = {
        "unext": (build_unext, 1_471_921, {224: 430_284_288, 256: 562_003_968, 512: 2_248_015_872}),
        "unext_s": (build_unext_s, 253_561, {224: 75_972_736, 256: 99_229_696, 512: 396_918_784}),
    }
    code = "jeya-maria-jose/UNeXt-pytorch@6ad0855"
    return [
        ModelPlugin(
            name=name,
            build=build,
            source="arXiv:2203.04967",
            ndims=frozenset({2}),
            published=tuple(
                Published(source=code, geometry=Geometry(3, 1, (side, side)), parameters=parameters, macs=count)
                for side, count in macs.items()
            ),
        )
        for name, (build, parameters, macs) in counts.items()
    ]
