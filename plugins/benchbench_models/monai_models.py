"""Networks of MONAI under its own name, as MONAI builds them.

Source: Project MONAI, doi:10.5281/zenodo.4323058, and the paper of each network. Nothing is changed but what the
contract of a model asks for: a list of one output is unwrapped, the heads of deep supervision are a list, and an
input on which MONAI would fail in the middle of a forward pass is refused when the network is built. What no
parameter sets has MONAI's default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.fast_layers import without_copies
from benchbench_models.monai_outputs import FirstOutput, OutputList, SupervisedDynUNet
from benchbench_models.requirements import CHANGE_PATCH, Requirements

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

GROUPS = 8
"""Groups of SegResNet's group normalisation."""
SWIN_HEADS = 3
"""Heads of attention at the first level of SwinUNETR."""
VNET_WIDTH = 16
"""Channels at the first level of V-Net, to which it repeats those of the image."""
MEDNEXT_BLOCKS = {"S": (2, 2, 2, 2, 2), "B": (2, 2, 2, 2, 2), "M": (3, 4, 4, 4, 4), "L": (3, 4, 8, 8, 8)}
"""Blocks of the four levels of the encoder and of the bottleneck; the decoder has those of the encoder."""
MEDNEXT_RATIOS = {"S": (2, 2, 2, 2, 2), "B": (2, 3, 4, 4, 4), "M": (2, 3, 4, 4, 4), "L": (3, 4, 8, 8, 8)}
"""Factors by which the blocks of these levels widen their channels."""


def swin_unetr(
    geometry: Geometry, *, width: int = 24, window: int = 7, dropout: float = 0.0, version: Literal[1, 2] = 1
) -> nn.Module:
    """Return SwinUNETR.

    width: channels at half resolution, a multiple of 12.
    window: tokens along each axis that attention sees.
    dropout: rate of dropout after the embedding and in the MLPs.
    version: 2 has a residual convolution before each stage, as in SwinUNETR-V2.

    Raises:
        IncompatibleError: the patch cannot be halved five times, or a parameter is out of its range.
    """
    require = Requirements("monai_swin_unetr")
    require.patch_multiple_of(32, geometry.patch, least=2)
    require.multiple_of(4 * SWIN_HEADS, width=width)
    require.at_least(2, window=window)
    require.probability(dropout=dropout)
    require.check()
    from monai.networks.nets import SwinUNETR  # noqa: PLC0415 importing MONAI takes seconds

    network: nn.Module = SwinUNETR(
        in_channels=geometry.in_channels,
        out_channels=geometry.out_channels,
        spatial_dims=len(geometry.patch),
        feature_size=width,
        window_size=window,
        drop_rate=dropout,
        use_v2=version == 2,
    )
    return without_copies(network)


def dynunet(
    geometry: Geometry,
    *,
    widths: tuple[int, ...] = (32, 64, 128, 256, 320, 320),
    residual: bool = False,
    deep_supervision: int = 0,
) -> nn.Module:
    """Return DynUNet, laid out as nnU-Net's own networks: 3 wide everywhere, halved at each level below the first.

    widths: channels of the levels, finest first, three or more.
    residual: blocks are residual, with shortcuts 1 wide.
    deep_supervision: number of levels below the first that have a head of their own in training.

    Raises:
        IncompatibleError: the patch cannot be halved as often, or a parameter is out of its range.
    """
    most_heads = max(0, len(widths) - 2)
    require = Requirements("monai_dynunet")
    require.levels(3, widths)
    _require_stride(require, geometry, widths, least=2)
    require.that(
        0 <= deep_supervision <= most_heads,
        f"deep_supervision is {deep_supervision}, expected 0 to {most_heads} levels; choose another",
    )
    require.check()
    from monai.networks.nets import DynUNet  # noqa: PLC0415 as above

    halvings = [2] * (len(widths) - 1)
    network = DynUNet(
        spatial_dims=len(geometry.patch),
        in_channels=geometry.in_channels,
        out_channels=geometry.out_channels,
        kernel_size=[3] * len(widths),
        strides=[1, *halvings],
        upsample_kernel_size=halvings,
        filters=widths,
        deep_supervision=deep_supervision > 0,
        deep_supr_num=max(1, deep_supervision),
        trans_bias=True,
        res_block=residual,
    )
    return SupervisedDynUNet(without_copies(network))


def segresnet(geometry: Geometry, *, width: int = 32, dropout: float = 0.0) -> nn.Module:
    """Return SegResNet, in four levels.

    width: channels at the first level, a multiple of 8; there are twice as many at each level below.
    dropout: rate of dropout after the first convolution, the only place where it has any.

    Raises:
        IncompatibleError: the patch cannot be halved three times, or a parameter is out of its range.
    """
    require = Requirements("monai_segresnet")
    require.patch_multiple_of(8, geometry.patch)
    require.multiple_of(GROUPS, width=width)
    require.probability(dropout=dropout)
    require.check()
    from monai.networks.nets import SegResNet  # noqa: PLC0415 as above

    network: nn.Module = SegResNet(
        spatial_dims=len(geometry.patch),
        init_filters=width,
        in_channels=geometry.in_channels,
        out_channels=geometry.out_channels,
        dropout_prob=dropout or None,
    )
    return network


def vnet(geometry: Geometry, *, dropout: float = 0.5) -> nn.Module:
    """Return V-Net, with 16 channels at the first of five levels.

    dropout: rate of dropout at the coarser levels of encoder and decoder.

    Raises:
        IncompatibleError: the patch cannot be halved four times, 16 is no multiple of the number of channels, or
            the dropout is no probability.
    """
    require = Requirements("monai_vnet")
    require.patch_multiple_of(16, geometry.patch)
    require.that(
        VNET_WIDTH % geometry.in_channels == 0,
        f"found {geometry.in_channels} channels, expected 1, 2, 4, 8 or 16, which it repeats to 16; choose another"
        " model or other channels",
    )
    require.probability(dropout=dropout)
    require.check()
    from monai.networks.nets import VNet  # noqa: PLC0415 as above

    ndim = len(geometry.patch)
    network: nn.Module = VNet(
        spatial_dims=ndim,
        in_channels=geometry.in_channels,
        out_channels=geometry.out_channels,
        dropout_prob_down=dropout,
        dropout_prob_up=(dropout, dropout),
        dropout_dim=ndim,
    )
    return network


def attention_unet(
    geometry: Geometry, *, widths: tuple[int, ...] = (64, 128, 256, 512, 1024), dropout: float = 0.0
) -> nn.Module:
    """Return MONAI's AttentionUnet.

    It differs from `attention_unet`: it goes down by strided convolutions and merges by a single one.

    widths: channels of the levels, finest first, each half as large as the one above.
    dropout: rate of dropout in every block.

    Raises:
        IncompatibleError: the patch cannot be halved as often, or a parameter is out of its range.
    """
    require = Requirements("monai_attention_unet")
    require.levels(2, widths)
    _require_stride(require, geometry, widths)
    require.probability(dropout=dropout)
    require.check()
    from monai.networks.nets import AttentionUnet  # noqa: PLC0415 as above

    network: nn.Module = AttentionUnet(
        spatial_dims=len(geometry.patch),
        in_channels=geometry.in_channels,
        out_channels=geometry.out_channels,
        channels=widths,
        strides=[2] * (len(widths) - 1),
        dropout=dropout,
    )
    return network


def basic_unet_plus_plus(
    geometry: Geometry, *, widths: tuple[int, int, int, int, int] = (32, 32, 64, 128, 256), dropout: float = 0.0
) -> nn.Module:
    """Return MONAI's BasicUNet++, of whose four outputs only the densest is used.

    widths: channels of the five levels, finest first; the features before the output have those of the first.
    dropout: rate of dropout in every block.

    Raises:
        IncompatibleError: the patch cannot be halved four times, or a parameter is out of its range.
    """
    require = Requirements("monai_basic_unet_plus_plus")
    require.levels(5, widths)
    require.patch_multiple_of(16, geometry.patch, least=2)
    require.probability(dropout=dropout)
    require.check()
    from monai.networks.nets import BasicUNetPlusPlus  # noqa: PLC0415 as above

    network = BasicUNetPlusPlus(
        spatial_dims=len(geometry.patch),
        in_channels=geometry.in_channels,
        out_channels=geometry.out_channels,
        features=(*widths, widths[0]),
        dropout=dropout,
    )
    return FirstOutput(without_copies(network))


def mednext(
    geometry: Geometry,
    *,
    size: Literal["S", "B", "M", "L"] = "S",
    kernel: int = 3,
    width: int = 32,
    deep_supervision: bool = False,
) -> nn.Module:
    """Return MedNeXt, in five levels.

    size: size of the paper, which sets the number of blocks of a level and how far they widen its channels.
    kernel: size of the convolutions, an odd number.
    width: channels at the first level.
    deep_supervision: each level of the decoder and the bottleneck have a head of their own in training.

    Raises:
        IncompatibleError: the patch cannot be halved four times, or a parameter is out of its range.
    """
    require = Requirements("monai_mednext")
    require.patch_multiple_of(16, geometry.patch, least=2)
    require.that(kernel > 0 and kernel % 2 == 1, f"kernel is {kernel}, expected an odd number; choose another")
    require.at_least(1, width=width)
    require.check()
    from monai.networks.nets import MedNeXt  # noqa: PLC0415 as above

    *ratios, bottleneck_ratio = MEDNEXT_RATIOS[size]
    *blocks, bottleneck_blocks = MEDNEXT_BLOCKS[size]
    network = MedNeXt(
        spatial_dims=len(geometry.patch),
        init_filters=width,
        in_channels=geometry.in_channels,
        out_channels=geometry.out_channels,
        encoder_expansion_ratio=ratios,
        decoder_expansion_ratio=ratios[::-1],
        bottleneck_expansion_ratio=bottleneck_ratio,
        kernel_size=kernel,
        deep_supervision=deep_supervision,
        use_residual_connection=True,
        blocks_down=blocks,
        blocks_bottleneck=bottleneck_blocks,
        blocks_up=blocks[::-1],
    )
    return OutputList(network)


def _require_stride(require: Requirements, geometry: Geometry, widths: tuple[int, ...], *, least: int = 1) -> None:
    """Require that the patch can be halved once for each level below the first."""
    stride = 2 ** max(len(widths) - 1, 0)
    require.patch_multiple_of(stride, geometry.patch, least=least, remedy=f"{CHANGE_PATCH} or the widths")


def _plugin(
    name: str,
    build: Callable[..., nn.Module],
    source: str,
    *counts: Published,
    unused: tuple[str, ...] = (),
) -> ModelPlugin:
    return ModelPlugin(
        name=f"monai_{name}",
        build=build,
        source=source,
        licence="Apache-2.0 (MONAI)",
        ndims=frozenset({2, 3}),
        needs=("monai", "einops"),
        extra="monai",
        unused=unused,
        published=counts,
    )


def _counts(geometry: Geometry, parameters: int, macs: int, **params: object) -> Published:
    return Published(source="monai 1.6.1", geometry=geometry, params=params, parameters=parameters, macs=macs)


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    unused = ("network.final_conv_0_1.*", "network.final_conv_0_2.*", "network.final_conv_0_3.*")
    return [
        _plugin("swin_unetr", swin_unetr, "arXiv:2201.01266"),
        _plugin("dynunet", dynunet, "doi:10.1038/s41592-020-01008-z", *_dynunet_counts()),
        _plugin(
            "segresnet",
            segresnet,
            "arXiv:1810.11654",
            _counts(Geometry(4, 3, (128,) * 3), 18_798_627, 584_585_314_304),
        ),
        _plugin("vnet", vnet, "arXiv:1606.04797"),
        _plugin(
            "attention_unet",
            attention_unet,
            "arXiv:1804.03999",
            _counts(Geometry(1, 2, (256, 256)), 31_739_250, 42_194_436_096),
            _counts(Geometry(3, 1, (256, 256)), 31_740_337, 42_265_739_264),
        ),
        _plugin("basic_unet_plus_plus", basic_unet_plus_plus, "arXiv:1807.10165", unused=unused),
        _plugin("mednext", mednext, "arXiv:2303.09975"),
    ]


def _dynunet_counts() -> tuple[Published, ...]:
    geometry = Geometry(5, 3, (128,) * 3)
    deep = (64, 96, 128, 192, 256, 384, 512)
    return (
        _counts(geometry, 31_194_281, 484_609_359_872, deep_supervision=2),
        _counts(geometry, 31_424_009, 485_932_924_928, deep_supervision=2, residual=True),
        _counts(geometry, 50_838_665, 1_361_375_133_696, deep_supervision=2, widths=deep),
        _counts(geometry, 51_229_321, 1_364_193_181_696, deep_supervision=2, widths=deep, residual=True),
    )
