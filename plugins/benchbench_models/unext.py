"""UNeXt and UNeXt-S: three levels of convolutions around two levels of shifted MLPs, in 2D.

Source: Valanarasu and Patel 2022, arXiv:2203.04967, and the authors' jeya-maria-jose/UNeXt-pytorch. Where the two
contradict each other, this follows the code:
the first shift of a block is along the height, where the paper shifts along the width first;
the widths of UNeXt are 16, 32, 128, 160, 256 as in the paper's table 3, not 32, 64, 128, 160, 256 as in its text;
UNeXt-S has 253,561 parameters, where the paper prints 0.32 M.
Differs: the first convolution takes `in_channels`, where the code always takes 3; arguments that the code ignores
are left out, and so is its dropout inside the MLP, which is off by default.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 torch's own name for it

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.fast_layers import Upsampling
from benchbench_models.requirements import Requirements

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

Widths = tuple[int, int, int, int, int]

UNEXT_WIDTHS = (16, 32, 128, 160, 256)
UNEXT_S_WIDTHS = (8, 16, 32, 64, 128)
STRIDE = 32
REACH = 2
"""Largest shift of a group of channels, in pixels."""
MOVES = 2 * REACH + 1
"""Groups of channels, each with a shift of its own."""


def shift(x: Tensor, axis: int) -> Tensor:
    """Return (B, C, H, W) with five groups of channels moved by -2, -1, 0, 1 and 2 pixels along axis 2 or 3.

    The gaps are filled with zeros. The groups are those of `torch.chunk`: where C is no multiple of five, the last
    is smaller.
    """
    size = x.shape[axis]
    padding = (0, 0, REACH, REACH) if axis == 2 else (REACH, REACH)
    groups = F.pad(x, padding).chunk(MOVES, dim=1)
    # a group that moves by +2 is read from 2 pixels before its place, which are padding at the border
    starts = reversed(range(MOVES))
    moved = [group.narrow(axis, start, size) for group, start in zip(groups, starts, strict=True)]
    return torch.cat(moved, dim=1)


def _per_pixel(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer over the last axis to the channels of (B, C, H, W)."""
    return layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return _per_pixel(self.norm, x)


class ShiftedBlock(nn.Module):
    """Residual MLP on (B, C, H, W) that uses neighbouring pixels by shifted channels and a depthwise convolution.

    In training, the MLP of a sample is left out with probability `drop_path`; the others are scaled up for it.
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
        # as one channel, a sample is dropped as a whole
        return x + self.drop_path(y.unsqueeze(1)).squeeze(1)


class UNeXt(nn.Module):
    """(B, in_channels, H, W) to logits (B, out_channels, H, W).

    A training batch of a single 32 × 32 image has one value per channel at the bottleneck, which batch
    normalisation refuses.
    """

    uses_all_parameters = True

    def __init__(self, geometry: Geometry, *, widths: Widths, drop_path: float) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = widths
        self.encoder = nn.ModuleList(
            [
                _down(geometry.in_channels, c1),
                _down(c1, c2),
                _down(c2, c3),
                nn.Sequential(_embedding(c3, c4), _tokens(c4, drop_path=0.0)),
                nn.Sequential(_embedding(c4, c5), _tokens(c5, drop_path=drop_path / 2)),
            ]
        )
        self.up = nn.ModuleList(_up(deeper, channels) for deeper, channels in pairwise((c5, c4, c3, c2, c1)))
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


def _upsampling() -> Upsampling:
    return Upsampling(scale_factor=2, mode="bilinear", align_corners=False)


def _embedding(in_channels: int, out_channels: int) -> nn.Module:
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=2, padding=1)
    return nn.Sequential(convolution, ChannelNorm(out_channels)).apply(_init_tokens)


def _tokens(channels: int, *, drop_path: float) -> nn.Module:
    return nn.Sequential(ShiftedBlock(channels, drop_path=drop_path), ChannelNorm(channels)).apply(_init_tokens)


def _init_tokens(layer: nn.Module) -> None:
    """Initialise a layer of an embedding or a block; the convolutions around them keep torch's initialisation."""
    if isinstance(layer, nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.Conv2d):
        fan_out = math.prod(layer.kernel_size) * layer.out_channels // layer.groups
        nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
        nn.init.zeros_(layer.bias)


def build_unext(geometry: Geometry, *, widths: Widths = UNEXT_WIDTHS, drop_path: float = 0.0) -> nn.Module:
    """Return UNeXt.

    widths: channels of the three levels of convolutions and of the two levels of shifted MLPs.
    drop_path: twice the rate at which the MLPs of the bottleneck block and of the last block are left out in
        training; the other blocks always keep theirs.

    Raises:
        IncompatibleError: the patch is no multiple of 32, `widths` has a number of channels that cannot be
            shifted in five groups, or `drop_path` is no probability.
    """
    _require("unext", geometry, widths=widths, drop_path=drop_path)
    return UNeXt(geometry, widths=widths, drop_path=drop_path)


def build_unext_s(geometry: Geometry, *, drop_path: float = 0.0) -> nn.Module:
    """Return UNeXt-S, which is half as wide as UNeXt or less.

    drop_path: twice the rate at which the MLPs of the bottleneck block and of the last block are left out in
        training; the other blocks always keep theirs.

    Raises:
        IncompatibleError: the patch is no multiple of 32, or `drop_path` is no probability.
    """
    _require("unext_s", geometry, widths=UNEXT_S_WIDTHS, drop_path=drop_path)
    return UNeXt(geometry, widths=UNEXT_S_WIDTHS, drop_path=drop_path)


def _require(name: str, geometry: Geometry, *, widths: Widths, drop_path: float) -> None:
    require = Requirements(name)
    require.levels(len(widths), widths)
    for width in widths[2:]:
        remedy = f"choose a multiple of {MOVES}"
        require.that(
            _has_all_groups(width), f"widths has {width} channels, which do not make {MOVES} groups; {remedy}"
        )
    require.patch_multiple_of(STRIDE, geometry.patch)
    require.probability(drop_path=drop_path)
    require.check()


def _has_all_groups(channels: int) -> bool:
    """Return True if `torch.chunk` gives the channels of a shift as five groups; it gives fewer of 16, for one."""
    size = math.ceil(max(channels, 1) / MOVES)
    return math.ceil(channels / size) == MOVES


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    macs = {224: 430_284_288, 256: 562_003_968, 512: 2_248_015_872}
    macs_s = {224: 75_972_736, 256: 99_229_696, 512: 396_918_784}
    return [
        _plugin("unext", build_unext, parameters=1_471_921, macs=macs),
        _plugin("unext_s", build_unext_s, parameters=253_561, macs=macs_s),
    ]


def _plugin(
    name: str, build: Callable[..., nn.Module], *, parameters: int, macs: Mapping[int, int]
) -> ModelPlugin:
    """Return the plugin with the published counts; `macs` maps the side of an image to its multiply-adds."""
    published = partial(Published, source="jeya-maria-jose/UNeXt-pytorch@6ad0855", parameters=parameters)
    return ModelPlugin(
        name=name,
        build=build,
        source="arXiv:2203.04967",
        ndims=frozenset({2}),
        published=tuple(
            published(geometry=Geometry(3, 1, (side, side)), macs=count) for side, count in macs.items()
        ),
    )
