"""Attention U-Net: a U-Net whose skips are weighted by the features of the deeper level, in 2D.

Source: Oktay et al. 2018, arXiv:1804.03999, in the widely used form of LeeJunHyun/Image_Segmentation.
Differs from Oktay et al., as that code does: 2D; a gate reads the skip at its full size and the deeper features
already enlarged, so that its weights need no interpolation; there is a gate at every level; sizes are doubled by
nearest neighbours and a 3×3 convolution; no deep supervision.
Differs from the code: the skip is concatenated after the deeper features, not before; width and depth can be set.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.blocks import AttentionGate, DecoderLevel, Layers, UShape, doubled_widths, plain_block
from benchbench_models.fast_layers import Upsampling
from benchbench_models.requirements import Requirements


def build(geometry: Geometry, *, width: int = 64, depth: int = 4) -> nn.Module:
    """Return an attention U-Net.

    width: channels at full resolution; there are twice as many at each level below.
    depth: number of halvings.

    Raises:
        IncompatibleError: the patch cannot be halved `depth` times, or a parameter is out of its range.
    """
    require = Requirements("attention_unet")
    require.at_least(2, width=width)
    require.at_least(1, depth=depth)
    require.halvings(geometry.patch, depth)
    require.check()
    layers = Layers(ndim=2, bias=True)
    widths = doubled_widths(width, depth)
    encoder = [plain_block(layers, geometry.in_channels, width)]
    for above, channels in pairwise(widths):
        encoder.append(nn.Sequential(layers.pool(), plain_block(layers, above, channels)))
    head = layers.head(width, geometry.out_channels)  # before the decoder: the order fixes the weights of a seed
    decoder = [_decoder_level(layers, deeper, channels) for deeper, channels in pairwise(reversed(widths))]
    return UShape(encoder, decoder, [head])


def _decoder_level(layers: Layers, deeper: int, channels: int) -> DecoderLevel:
    convolution = layers.normalised_convolution(deeper, channels)
    up = nn.Sequential(Upsampling(scale_factor=2), *convolution, layers.activation_layer())
    block = plain_block(layers, 2 * channels, channels)
    return DecoderLevel(up, block, gate=AttentionGate(layers, channels, kernel=1))


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    counted = Published(
        source="LeeJunHyun/Image_Segmentation@5e9da93",
        geometry=Geometry(3, 1, (256, 256)),
        parameters=34_878_573,
        macs=66_424_930_304,
    )
    return [
        ModelPlugin(
            name="attention_unet",
            build=build,
            source="arXiv:1804.03999",
            ndims=frozenset({2}),
            published=(counted,),
        )
    ]
