"""U-Net: encoder and decoder of 3×3 convolutions with a concatenated skip at every level, in 2D and in 3D.

Source: Ronneberger et al. 2015, arXiv:1505.04597; the defaults are those of Buda et al. 2019,
doi:10.1016/j.compbiomed.2019.05.002, as published in mateuszbuda/brain-segmentation-pytorch.
Differs from Ronneberger et al.: convolutions are padded, so the output is as large as the input and no skip is
cropped; they are bias-free and followed by batch normalisation; width 32 instead of 64; no dropout at the end of
the contracting path; torch's default initialisation instead of He's.
Differs from Buda et al.: the output is logits, without the sigmoid; every parameter of `build` can be changed.

The network of nnU-Net, Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, as optimised for BraTS by Futrega et
al. 2021, arXiv:2110.03352, and published in NVIDIA/DeepLearningExamples, is obtained with `norm = "instance"`,
`activation = "leaky_relu"`, `down = "stride"`, `init = "kaiming"` and `widths = [32, 64, 128, 256, 320, 320]`.
Residual blocks, attention gates, DropBlock and deep supervision are those of that code's first version.
Differs from that code: every head of the deep supervision is used, where it has four and trains two; its later
version enlarges the logits of the heads to full size. DropBlock acts after every convolution of its two blocks,
where the code leaves the rate at 0 in most of a residual block, and counts steps of training, where the code
counts passes of any kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Literal

from torch import nn

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.blocks import (
    LEAK,
    Activation,
    AttentionGate,
    DecoderLevel,
    Layers,
    MakeDropout,
    Norm,
    ResidualBlock,
    UShape,
    doubled_widths,
    plain_block,
)
from benchbench_models.drop_block import DropBlock
from benchbench_models.fast_layers import without_copies
from benchbench_models.requirements import Requirements

WIDTH, DEPTH = 32, 4
DROP_BLOCK_LEVELS = 2
"""Number of levels of the encoder, from the coarsest, that have DropBlock."""

Down = Literal["pool", "stride"]


def build(  # noqa: PLR0913 as many as the family has choices
    geometry: Geometry,
    *,
    width: int = WIDTH,
    depth: int = DEPTH,
    widths: tuple[int, ...] = (),
    norm: Norm = "batch",
    activation: Activation = "relu",
    down: Down = "pool",
    residual: bool = False,
    attention: bool = False,
    spatial_dropout: float = 0.0,
    drop_block: float = 0.0,
    drop_block_steps: int = 10_000,
    deep_supervision: int = 0,
    init: Literal["torch", "kaiming"] = "torch",
) -> nn.Module:
    """Return a U-Net.

    width: channels at full resolution; there are twice as many at each level below.
    depth: number of halvings.
    widths: channels of every level, finest first, instead of `width` and `depth`.
    norm: "batch", "instance", "group" (of 8) or "none", after every 3×3 convolution, which has a bias with "none".
    activation: "relu" or "leaky_relu", of slope 0.01.
    down: a level is halved by a maximum over 2×2 ("pool") or by the stride of its first convolution ("stride").
    residual: encoder blocks add their input, projected by a 3×3 convolution where size or channels change.
    attention: every skip passes a gate of 3×3 convolutions.
    spatial_dropout: the rate at which whole channels are zeroed after every block of encoder and decoder.
    drop_block: the rate of DropBlock, after the convolutions of the two coarsest blocks of the encoder.
    drop_block_steps: number of training steps over which the rate of DropBlock rises from 0.
    deep_supervision: number of levels below the finest that have a head of their own in training.
    init: "kaiming" draws convolutions from He's normal distribution with the slope of the leaky ReLU, and sets
        the biases of the heads to zero; transposed convolutions keep torch's own, as everything does with "torch".

    Batch normalisation refuses a training batch of one image whose coarsest level is one voxel.

    Raises:
        IncompatibleError: the patch cannot be halved often enough, or a parameter is out of its range.
    """
    require = Requirements("unet")
    require.at_least(1, width=width, depth=depth, drop_block_steps=drop_block_steps)
    require.probability(spatial_dropout=spatial_dropout, drop_block=drop_block)
    if widths:
        _require_widths(require, widths, width=width, depth=depth)
    else:
        widths = doubled_widths(width, depth)
    _require_levels(require, geometry.patch, widths, deep_supervision=deep_supervision, norm=norm)
    require.that(
        not attention or all(channels > 1 for channels in widths),
        f"widths is {list(widths)}, expected at least 2 where attention halves them; widen the level",
    )
    require.check()
    layers = Layers(ndim=len(geometry.patch), norm=norm, activation=activation)
    drop = partial(DropBlock, drop_block, steps=drop_block_steps) if drop_block else None
    encoder = _encoder(
        layers,
        (geometry.in_channels, *widths),
        block=ResidualBlock if residual else plain_block,
        down=down,
        drop_block=drop,
        spatial_dropout=spatial_dropout,
    )
    decoder = _decoder(layers, widths, attention=attention, spatial_dropout=spatial_dropout)
    heads = (layers.head(channels, geometry.out_channels) for channels in widths[: 1 + deep_supervision])
    model = without_copies(UShape(encoder, decoder, heads))
    return model.apply(_init_kaiming) if init == "kaiming" else model


def _encoder(
    layers: Layers,
    channels: tuple[int, ...],
    *,
    block: Callable[..., nn.Module],
    down: Down,
    drop_block: MakeDropout | None,
    spatial_dropout: float,
) -> Iterator[nn.Module]:
    """Yield the blocks, finest first; `channels` are those of the image and of every level."""
    first_with_drop_block = len(channels) - 1 - DROP_BLOCK_LEVELS
    for level, (in_channels, out_channels) in enumerate(pairwise(channels)):
        is_halved = level > 0
        pool = [layers.pool()] if is_halved and down == "pool" else []
        stride = 2 if is_halved and down == "stride" else 1
        dropout = drop_block if level >= first_with_drop_block else None
        convolutions = block(layers, in_channels, out_channels, stride=stride, dropout=dropout)
        yield nn.Sequential(*pool, convolutions, *layers.spatial_dropout(spatial_dropout))


def _decoder(
    layers: Layers, widths: tuple[int, ...], *, attention: bool, spatial_dropout: float
) -> Iterator[DecoderLevel]:
    """Yield the levels of the decoder, coarsest first."""
    for deeper, width in pairwise(reversed(widths)):
        up = layers.upsampling(deeper, width)
        block = nn.Sequential(plain_block(layers, 2 * width, width), *layers.spatial_dropout(spatial_dropout))
        gate = AttentionGate(layers, width, kernel=3) if attention else None
        yield DecoderLevel(up, block, gate=gate)


def _require_widths(require: Requirements, widths: tuple[int, ...], *, width: int, depth: int) -> None:
    require.levels(2, widths)
    require.that(
        (width, depth) == (WIDTH, DEPTH),
        f"widths is {list(widths)}, together with a width of {width} and a depth of {depth}, expected one or the"
        " other; leave out widths, or width and depth",
    )


def _require_levels(
    require: Requirements, patch: tuple[int, ...], widths: tuple[int, ...], *, deep_supervision: int, norm: Norm
) -> None:
    halvings = len(widths) - 1
    require.that(
        0 <= deep_supervision < max(halvings, 1),
        f"deep_supervision is {deep_supervision}, expected fewer than the {halvings} halvings; choose another",
    )
    require.halvings(patch, halvings)
    require.that(
        norm != "instance" or max(patch) > 2**halvings,
        f"patch is {list(patch)}, a single voxel after {halvings} halvings, which instance normalisation would set"
        " to zero; enlarge the patch or remove a level",
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


def _published_3d() -> tuple[Published, ...]:
    widths, deep = (32, 64, 128, 256, 320, 320), (64, 96, 128, 192, 256, 384, 512)
    first = partial(_published_by_nvidia, "2b20ca80", heads=4, channels=4, regions=4)
    second = partial(_published_by_nvidia, "028534a5", heads=2)
    return (
        first(31_195_956, 482_801_614_848, widths=widths),
        first(37_339_508, 516_725_932_032, widths=widths, residual=True),
        first(36_323_246, 594_139_004_928, widths=widths, attention=True),
        first(42_466_798, 628_063_322_112, widths=widths, residual=True, attention=True),
        second(31_193_644, 482_801_614_848, channels=4, regions=4, widths=widths),
        second(31_193_417, 482_734_505_984, channels=4, regions=3, widths=widths),
        second(31_190_598, 477_231_579_136, channels=1, regions=2, widths=widths),
        second(31_194_281, 484_546_445_312, channels=5, regions=3, widths=widths),
        second(50_838_665, 1_361_287_053_312, channels=5, regions=3, widths=deep),
    )


def _published_by_nvidia(
    commit: str, parameters: int, macs: int, *, heads: int, channels: int, regions: int, **params: object
) -> Published:
    layout = {"norm": "instance", "activation": "leaky_relu", "down": "stride"}
    return Published(
        source=f"NVIDIA/DeepLearningExamples@{commit}",
        geometry=Geometry(channels, regions, (128, 128, 128)),
        params={**params, **layout, "deep_supervision": heads},
        parameters=parameters,
        macs=macs,
    )
