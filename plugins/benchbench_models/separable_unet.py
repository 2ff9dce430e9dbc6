"""U-Net whose 3×3 convolutions are depthwise separable, and the plain one that it is compared with, in 2D.

Source: U-Net, Ronneberger et al. 2015, arXiv:1505.04597, with the separable convolution of Chollet 2017,
arXiv:1610.02357: depthwise 3×3 without bias, then 1×1. With these widths and layers Keras counts, for one channel
and three classes, 31,125,987 parameters plain and 6,030,156 separable, running statistics included, as reported
for cardiac MRI; batch normalisation and initialisation are Keras's defaults.
Not known: the counts determine neither which layers of the decoder are normalised nor where dropout is, and no
rate is reported. Here every convolution of a block is normalised, and so are the deeper features joined with the
skip; channels are dropped after every block, at a rate of 0.1.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from torch import nn

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.blocks import DecoderLevel, UShape, doubled_widths
from benchbench_models.requirements import Requirements

_EPSILON = 1e-3
_MOMENTUM = 0.01
"""Weight of the new statistics, as torch defines it; Keras sets the weight of the old ones, 0.99."""


def _block(in_channels: int, out_channels: int, *, separable: bool, spatial_dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += _convolution(channels, out_channels, separable=separable)
        layers += [_normalisation(out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Dropout2d(spatial_dropout))


def _convolution(in_channels: int, out_channels: int, *, separable: bool) -> list[nn.Module]:
    if not separable:
        return [nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)]
    return [
        nn.Conv2d(in_channels, in_channels, kernel_size=3, padding=1, groups=in_channels, bias=False),
        nn.Conv2d(in_channels, out_channels, kernel_size=1),
    ]


def _normalisation(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=_EPSILON, momentum=_MOMENTUM)


def _init_glorot(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def build(
    geometry: Geometry,
    *,
    separable: bool = True,
    width: int = 32,
    depth: int = 5,
    spatial_dropout: float = 0.1,
) -> nn.Module:
    """Return a U-Net of depthwise separable convolutions, or the plain one of the same layers.

    separable: 3×3 convolutions are depthwise and followed by a 1×1 convolution; if false, they are plain.
    width: channels at full resolution; there are twice as many at each level below.
    depth: number of halvings.
    spatial_dropout: the rate at which whole channels are zeroed after every block of encoder and decoder.

    Raises:
        IncompatibleError: the patch cannot be halved `depth` times, or a parameter is out of its range.
    """
    require = Requirements("separable_unet")
    require.at_least(1, width=width, depth=depth)
    require.probability(spatial_dropout=spatial_dropout)
    require.halvings(geometry.patch, depth)
    require.check()
    widths = doubled_widths(width, depth)
    make_block = partial(_block, separable=separable, spatial_dropout=spatial_dropout)
    encoder = [make_block(geometry.in_channels, width)]
    for above, channels in pairwise(widths):
        encoder.append(nn.Sequential(nn.MaxPool2d(2), make_block(above, channels)))
    decoder = []
    for deeper, channels in pairwise(reversed(widths)):
        up = nn.ConvTranspose2d(deeper, channels, kernel_size=2, stride=2)
        block = nn.Sequential(_normalisation(2 * channels), make_block(2 * channels, channels))
        decoder.append(DecoderLevel(up, block))
    head = nn.Conv2d(width, geometry.out_channels, kernel_size=1)
    return UShape(encoder, decoder, [head]).apply(_init_glorot)


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    source = "arXiv:1610.02357, arXiv:1505.04597"
    published = tuple(
        Published(
            source="a thesis on cardiac MRI, less the running statistics that Keras counts",
            geometry=Geometry(1, 3, (256, 256)),
            params={"separable": separable},
            parameters=parameters,
        )
        for separable, parameters in ((True, 6_014_156), (False, 31_109_987))
    )
    return [
        ModelPlugin(name="separable_unet", build=build, source=source, ndims=frozenset({2}), published=published)
    ]
