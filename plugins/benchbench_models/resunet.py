"""ResUNet: a U-Net of residual units that normalise and activate before each convolution, in 2D.

Source: Zhang et al. 2018, arXiv:1711.10684: three levels of units, a bridge and three units up, widths 64 to 512.
Details that the paper leaves open are as in nikhilroxtomar/Semantic-Segmentation-Architecture: the shortcut of
every unit is a 1×1 convolution without normalisation, and sizes are doubled by bilinear interpolation with aligned
corners.
Differs: logits, without the sigmoid; width and depth can be chosen.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.blocks import DecoderLevel, UShape, doubled_widths
from benchbench_models.requirements import Requirements

if TYPE_CHECKING:
    from torch import Tensor


class Unit(nn.Module):
    """Two convolutions, the first with the stride, to which a 1×1 convolution with that stride is added.

    The first unit of the network neither normalises nor activates its input, the image.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, is_first: bool = False) -> None:
        super().__init__()
        activation = [] if is_first else _normalisation_and_activation(in_channels)
        self.body = nn.Sequential(
            *activation,
            nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1),
            *_normalisation_and_activation(out_channels),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
        )
        self.stride = stride
        self.shortcut = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        # oneDNN writes out of bounds in the gradient of a narrow, strided 1×1 convolution of channels-last images
        return self.body(x) + self.shortcut(x[:, :, :: self.stride, :: self.stride])


def _normalisation_and_activation(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def build(geometry: Geometry, *, width: int = 64, depth: int = 3) -> nn.Module:
    """Return a ResUNet.

    width: channels at full resolution; there are twice as many at each level below.
    depth: number of halvings.

    Raises:
        IncompatibleError: the patch cannot be halved `depth` times, or a parameter is out of its range.
    """
    require = Requirements("resunet")
    require.at_least(1, width=width, depth=depth)
    require.halvings(geometry.patch, depth)
    require.check()
    widths = doubled_widths(width, depth)
    encoder = [Unit(geometry.in_channels, width, is_first=True)]
    encoder += [Unit(above, channels, stride=2) for above, channels in pairwise(widths)]
    head = nn.Conv2d(width, geometry.out_channels, kernel_size=1)  # the order fixes the weights of a seed
    decoder = []
    for deeper, channels in pairwise(reversed(widths)):
        up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        decoder.append(DecoderLevel(up, Unit(deeper + channels, channels)))
    return UShape(encoder, decoder, [head])


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
