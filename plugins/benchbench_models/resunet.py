"""ResUNet: a U-Net of residual units that normalise and activate before each convolution, in 2D.

Source: Zhang et al. 2018, arXiv:1711.10684: three levels of units, a bridge and three units up, widths 64 to 512.
What the paper leaves open is as in nikhilroxtomar/Semantic-Segmentation-Architecture: the shortcut of every unit
is a 1×1 convolution without normalisation, and sizes are doubled by bilinear interpolation with aligned corners.
Differs: logits, without the sigmoid; width and depth can be chosen.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.blocks import Rise, UShape, doubled
from benchbench_models.requirements import Requirements

if TYPE_CHECKING:
    from torch import Tensor


class Unit(nn.Module):
    """Two convolutions, the first with the stride, to which a 1×1 convolution with that stride is added.

    The first unit of the network convolves the image as it is.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, first: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *([] if first else _activated(in_channels)),
            nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1),
            *_activated(out_channels),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
        )
        self.stride = stride
        self.shortcut = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        # oneDNN writes out of bounds in the gradient of a narrow, strided 1×1 convolution of channels-last images
        return self.body(x) + self.shortcut(x[:, :, :: self.stride, :: self.stride])


def _activated(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def build(geometry: Geometry, *, width: int = 64, depth: int = 3) -> nn.Module:
    """A ResUNet of `depth` halvings, `width` channels at full resolution and twice as many at each level below.

    Raises:
        IncompatibleError: the patch cannot be halved `depth` times, or a parameter is out of its range.
    """
    need = Requirements("resunet")
    need.at_least(1, width=width, depth=depth)
    need.halvings(geometry.patch, depth)
    need.check()
    widths = doubled(width, depth)
    encoder = [Unit(geometry.in_channels, width, first=True), *(Unit(a, b, stride=2) for a, b in pairwise(widths))]
    decoder = (
        Rise(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), Unit(a + b, b))
        for a, b in pairwise(reversed(widths))
    )
    return UShape(encoder, decoder, [nn.Conv2d(width, geometry.out_channels, kernel_size=1)])


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    published = tuple(
        Published(
            source="nikhilroxtomar/Semantic-Segmentation-Architecture@558a6b8",
            geometry=Geometry(3, 1, (side, side)),
            parameters=8_220_993,
            macs=macs,
        )
        for side, macs in ((224, 34_627_059_712), (256, 45_227_180_032))
    )
    return [
        ModelPlugin(
            name="resunet", build=build, source="arXiv:1711.10684", ndims=frozenset({2}), published=published
        )
    ]
