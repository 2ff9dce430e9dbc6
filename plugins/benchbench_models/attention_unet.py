"""Attention U-Net: a U-Net whose skips are weighted by what the deeper level has found, in 2D.

Source: Oktay et al. 2018, arXiv:1804.03999, in the widely used form of LeeJunHyun/Image_Segmentation.
Differs from Oktay et al., as that code does: 2D; a gate sees the skip at its own size and the deeper level already
enlarged, so that its weights need no interpolation; a gate at every level; sizes are doubled by nearest neighbours
and a 3×3 convolution; no deep supervision.
Differs from the code: the skip is joined behind what rises, not before it; width and depth can be chosen.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.blocks import AttentionGate, Layers, Rise, UShape, doubled, plain_block
from benchbench_models.requirements import Requirements


def build(geometry: Geometry, *, width: int = 64, depth: int = 4) -> nn.Module:
    """An attention U-Net of `depth` halvings, `width` channels at full resolution and twice as many a level below.

    Raises:
        IncompatibleError: the patch cannot be halved `depth` times, or a parameter is out of its range.
    """
    need = Requirements("attention_unet")
    need.at_least(2, width=width)
    need.at_least(1, depth=depth)
    need.halvings(geometry.patch, depth)
    need.check()
    layers = Layers(ndim=2, bias=True)
    widths = doubled(width, depth)
    encoder = [plain_block(layers, geometry.in_channels, width)]
    encoder += [nn.Sequential(layers.pool(), plain_block(layers, a, b)) for a, b in pairwise(widths)]
    decoder = (
        Rise(
            nn.Sequential(nn.Upsample(scale_factor=2), *layers.normalised(a, b), layers.activate()),
            plain_block(layers, 2 * b, b),
            gate=AttentionGate(layers, b, kernel=1),
        )
        for a, b in pairwise(reversed(widths))
    )
    return UShape(encoder, decoder, [layers.head(width, geometry.out_channels)])


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
