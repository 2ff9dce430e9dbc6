"""U-Net: encoder and decoder of 3×3 convolutions with a concatenated skip at every level, in 2D and in 3D.

Source: Ronneberger et al. 2015, arXiv:1505.04597; the defaults are those of Buda et al. 2019,
doi:10.1016/j.compbiomed.2019.05.002, as published in mateuszbuda/brain-segmentation-pytorch.
Differs from Ronneberger et al.: convolutions are padded, so the output is as large as the input and no skip is
cropped; they are bias-free and followed by batch normalisation; width 32 instead of 64; no dropout at the end of
the contracting path; torch's default initialisation instead of He's.
Differs from Buda et al.: the output is logits, without the sigmoid; all that `build` names can be chosen.

The network of nnU-Net, Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, as optimised for BraTS by Futrega et
al. 2021, arXiv:2110.03352, and published in NVIDIA/DeepLearningExamples, is had by `norm = "instance"`,
`activation = "leaky_relu"`, `down = "stride"`, `init = "kaiming"` and `widths = [32, 64, 128, 256, 320, 320]`.
Residual blocks, attention gates, DropBlock and deep supervision are those of that code's first version.
Differs from that code: every head of the deep supervision is used, where it has four and trains two; its later
version enlarges what the heads give to full size. DropBlock acts after every convolution of its two blocks, where
the code leaves the rate at 0 in most of a residual block, and counts steps of training, where the code counts
passes of any kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Literal

from torch import nn

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.blocks import (
    LEAK,
    Activation,
    AttentionGate,
    Layers,
    Norm,
    ResidualBlock,
    Rise,
    UShape,
    doubled,
    plain_block,
)
from benchbench_models.drop_block import DropBlock
from benchbench_models.requirements import Requirements


def build(  # noqa: PLR0913 as many as the family has choices
    geometry: Geometry,
    *,
    width: int = 32,
    depth: int = 4,
    widths: tuple[int, ...] = (),
    norm: Norm = "batch",
    activation: Activation = "relu",
    down: Literal["pool", "stride"] = "pool",
    residual: bool = False,
    attention: bool = False,
    spatial_dropout: float = 0.0,
    drop_block: float = 0.0,
    drop_block_steps: int = 10_000,
    deep_supervision: int = 0,
    init: Literal["torch", "kaiming"] = "torch",
) -> nn.Module:
    """A U-Net of `depth` halvings, `width` channels at full resolution and twice as many at each level below.

    widths: channels of every level from the finest, instead of `width` and `depth`.
    norm: "batch", "instance", "group" (of 8) or "none", after every 3×3 convolution, which else has a bias.
    activation: "relu" or "leaky_relu", of slope 0.01.
    down: a level is halved by a maximum over 2×2 or by the stride of its first convolution.
    residual: encoder blocks add their input, projected by a 3×3 convolution where size or channels change.
    attention: every skip passes a gate of 3×3 convolutions.
    spatial_dropout: the rate at which whole channels are zeroed after every block of encoder and decoder.
    drop_block: the rate of DropBlock, after the convolutions of the two coarsest blocks of the encoder; it rises
        from 0 over the first `drop_block_steps` steps.
    deep_supervision: how many levels below the finest have a head of their own in training.
    init: "kaiming" draws convolutions from He's normal distribution with the slope of the leaky ReLU, and sets
        the biases of the heads to zero; transposed convolutions keep torch's.

    A training batch of one image whose coarsest level is one voxel is refused by batch normalisation.

    Raises:
        IncompatibleError: the patch cannot be halved often enough, or a parameter is out of its range.
    """
    need = Requirements("unet")
    need.at_least(1, width=width, depth=depth, drop_block_steps=drop_block_steps)
    need.probability(spatial_dropout=spatial_dropout, drop_block=drop_block)
    need.that(
        not widths or (len(widths) > 1 and min(widths) > 0),
        f"widths are {list(widths)}, expected two or more levels of at least one channel; choose others",
    )
    need.that(
        not widths or (width, depth) == (32, 4),
        f"widths are {list(widths)}, beside a width of {width} and a depth of {depth}; give one or the other",
    )
    widths = widths or doubled(width, depth)
    _require_levels(
        need, geometry.patch, widths, deep_supervision=deep_supervision, attention=attention, norm=norm
    )
    need.check()
    layers = Layers(ndim=len(geometry.patch), norm=norm, activation=activation)
    drop = partial(DropBlock, drop_block, steps=drop_block_steps) if drop_block else None
    block = ResidualBlock if residual else plain_block
    encoder = []
    for level, (a, b) in enumerate(pairwise((geometry.in_channels, *widths))):
        pool = [layers.pool()] if level and down == "pool" else []
        stride = 2 if level and down == "stride" else 1
        convolutions = block(layers, a, b, stride=stride, drop=drop if level >= len(widths) - 2 else None)
        encoder.append(nn.Sequential(*pool, convolutions, *layers.spatial_dropout(spatial_dropout)))
    decoder = (
        Rise(
            layers.doubling(a, b),
            nn.Sequential(plain_block(layers, 2 * b, b), *layers.spatial_dropout(spatial_dropout)),
            gate=AttentionGate(layers, b, kernel=3) if attention else None,
        )
        for a, b in pairwise(reversed(widths))
    )
    heads = (layers.head(each, geometry.out_channels) for each in widths[: 1 + deep_supervision])
    model = UShape(encoder, decoder, heads)
    return model.apply(_init_kaiming) if init == "kaiming" else model


def _require_levels(
    need: Requirements,
    patch: tuple[int, ...],
    widths: tuple[int, ...],
    *,
    deep_supervision: int,
    attention: bool,
    norm: Norm,
) -> None:
    halvings = len(widths) - 1
    need.that(
        0 <= deep_supervision < max(halvings, 1),
        f"deep_supervision is {deep_supervision}, expected fewer than the {halvings} halvings; choose another",
    )
    need.that(
        not attention or all(each > 1 for each in widths),
        f"widths are {list(widths)}, expected at least 2 where attention halves them; widen the level",
    )
    need.halvings(patch, halvings)
    need.that(
        norm != "instance" or max(patch) > 2**halvings,
        f"patch is {list(patch)}, a single voxel after {halvings} halvings, which instance normalisation would set"
        " to zero; enlarge the patch or take away a level",
    )


def _init_kaiming(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(layer.weight, a=LEAK)
        if layer.kernel_size[0] == 1:
            nn.init.zeros_(layer.bias)


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    return [
        ModelPlugin(
            name="unet",
            build=build,
            source="arXiv:1505.04597",
            ndims=frozenset({2, 3}),
            published=(*_published_2d(), *_published_3d()),
        )
    ]


def _published_2d() -> Iterator[Published]:
    counts = (
        (3, 1, 32, 7_763_041, 12_071_206_912),
        (3, 1, 64, 31_037_633, 48_167_387_136),
        (1, 1, 64, 31_036_481, 48_091_889_664),
        (1, 2, 64, 31_036_546, 48_096_083_968),
    )
    for channels, regions, width, parameters, macs in counts:
        yield Published(
            source="mateuszbuda/brain-segmentation-pytorch@d45f890",
            geometry=Geometry(channels, regions, (256, 256)),
            params={"width": width},
            parameters=parameters,
            macs=macs,
        )


def _published_3d() -> Iterator[Published]:
    widths, deep = (32, 64, 128, 256, 320, 320), (64, 96, 128, 192, 256, 384, 512)
    layout = {"norm": "instance", "activation": "leaky_relu", "down": "stride"}
    first, second = ("NVIDIA/DeepLearningExamples@2b20ca80", 4), ("NVIDIA/DeepLearningExamples@028534a5", 2)
    counts: tuple[tuple[tuple[str, int], int, int, dict[str, object], int, int], ...] = (
        (first, 4, 4, {"widths": widths}, 31_195_956, 482_801_614_848),
        (first, 4, 4, {"widths": widths, "residual": True}, 37_339_508, 516_725_932_032),
        (first, 4, 4, {"widths": widths, "attention": True}, 36_323_246, 594_139_004_928),
        (first, 4, 4, {"widths": widths, "residual": True, "attention": True}, 42_466_798, 628_063_322_112),
        (second, 4, 4, {"widths": widths}, 31_193_644, 482_801_614_848),
        (second, 4, 3, {"widths": widths}, 31_193_417, 482_734_505_984),
        (second, 1, 2, {"widths": widths}, 31_190_598, 477_231_579_136),
        (second, 5, 3, {"widths": widths}, 31_194_281, 484_546_445_312),
        (second, 5, 3, {"widths": deep}, 50_838_665, 1_361_287_053_312),
    )
    for (source, heads), channels, regions, params, parameters, macs in counts:
        yield Published(
            source=source,
            geometry=Geometry(channels, regions, (128, 128, 128)),
            params={**params, **layout, "deep_supervision": heads},
            parameters=parameters,
            macs=macs,
        )
