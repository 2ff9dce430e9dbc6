"""ResUNet: a U-Net of residual units that normalise and activate before each convolution, in 2D.

Source: Zhang et al. 2018, arXiv:1711.10684: three levels of units, a bridge and three units up, widths 64 to 512.
Details that the paper leaves open are as in nikhilroxtomar/Semantic-Segmentation-Architecture: the shortcut of
every unit is a 1×1 convolution without normalisation, and sizes are doubled by bilinear interpolation with aligned
corners.
Differs: logits, without the sigmoid; width and depth can be chosen, as well as max-pooling instead of strides,
transposed convolutions instead of interpolation and a normalised shortcut, which other descriptions of it have.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from torch import nn

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.blocks import DecoderLevel, UShape, doubled_widths
from benchbench_models.fast_layers import Upsampling
from benchbench_models.requirements import Requirements

if TYPE_CHECKING:
    from torch import Tensor

Downsample = Literal["stride", "max_pool"]
Upsample = Literal["bilinear", "transposed"]


class Unit(nn.Module):
    """Two convolutions, the first with the stride, to which a 1×1 convolution with that stride is added.

    The first unit of the network neither normalises nor activates its input, the image.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        is_first: bool = False,
        shortcut_norm: bool = False,
    ) -> None:
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
        self.shortcut_norm = nn.BatchNorm2d(out_channels) if shortcut_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        # oneDNN writes out of bounds in the gradient of a narrow, strided 1×1 convolution of channels-last images
        shortcut = self.shortcut(x[:, :, :: self.stride, :: self.stride])
        return self.body(x) + self.shortcut_norm(shortcut)


def _normalisation_and_activation(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def build(
    geometry: Geometry,
    *,
    width: int = 64,
    depth: int = 3,
    downsample: Downsample = "stride",
    upsample: Upsample = "bilinear",
    shortcut_norm: bool = False,
) -> nn.Module:
    """Return a ResUNet.

    width: channels at full resolution; there are twice as many at each level below.
    depth: number of halvings.
    downsample: how sizes are halved: by the first convolution of a unit, or by max-pooling before the unit.
    upsample: how sizes are doubled: by bilinear interpolation, or by a transposed convolution that halves the
        channels.
    shortcut_norm: the shortcut of every unit is followed by batch normalisation.

    Raises:
        IncompatibleError: the patch cannot be halved `depth` times, or a parameter is out of its range.
    """
    require = Requirements("resunet")
    require.at_least(1, width=width, depth=depth)
    require.halvings(geometry.patch, depth)
    require.check()
    widths = doubled_widths(width, depth)
    encoder: list[nn.Module] = [Unit(geometry.in_channels, width, is_first=True, shortcut_norm=shortcut_norm)]
    for above, channels in pairwise(widths):
        encoder.append(_encoder_level(above, channels, downsample=downsample, shortcut_norm=shortcut_norm))
    head = nn.Conv2d(width, geometry.out_channels, kernel_size=1)  # the order fixes the weights of a seed
    decoder = []
    for deeper, channels in pairwise(reversed(widths)):
        up, up_channels = _upsampling(deeper, channels, upsample)
        unit = Unit(up_channels + channels, channels, shortcut_norm=shortcut_norm)
        decoder.append(DecoderLevel(up, unit))
    return UShape(encoder, decoder, [head])


def _encoder_level(above: int, channels: int, *, downsample: Downsample, shortcut_norm: bool) -> nn.Module:
    if downsample == "max_pool":
        return nn.Sequential(nn.MaxPool2d(2), Unit(above, channels, shortcut_norm=shortcut_norm))
    return Unit(above, channels, stride=2, shortcut_norm=shortcut_norm)


def _upsampling(deeper: int, channels: int, upsample: Upsample) -> tuple[nn.Module, int]:
    """Return the layer that doubles the size, and the number of channels that it returns."""
    if upsample == "transposed":
        return nn.ConvTranspose2d(deeper, channels, kernel_size=2, stride=2), channels
    return Upsampling(scale_factor=2, mode="bilinear", align_corners=True), deeper


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
