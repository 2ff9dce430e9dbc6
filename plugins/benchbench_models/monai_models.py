"""Networks of MONAI under its own name, as MONAI builds them.

Source: Project MONAI, doi:10.5281/zenodo.4323058, and the paper of each network. Nothing is changed but what the
contract asks for: a list of one output is unwrapped, heads of deep supervision are a list, and an input that MONAI
would fail on in the middle of a forward pass is refused when the network is built. What a parameter does not name
is MONAI's default.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from torch import nn

from benchbench import Geometry, IncompatibleError, ModelPlugin, Published, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

GROUPS = 8
MEDNEXT_BLOCKS = {"S": (2, 2, 2, 2, 2), "B": (2, 2, 2, 2, 2), "M": (3, 4, 4, 4, 4), "L": (3, 4, 8, 8, 8)}
"""Blocks of the four levels of the encoder and of the bottleneck; the decoder has those of the encoder."""
MEDNEXT_RATIOS = {"S": (2, 2, 2, 2, 2), "B": (2, 3, 4, 4, 4), "M": (2, 3, 4, 4, 4), "L": (3, 4, 8, 8, 8)}
"""By how much a block widens its channels, level by level."""


class First(nn.Module):
    """A network that returns a list, of which the first is wanted."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[0]


class Supervised(nn.Module):
    """A DynUNet whose heads come as they are, not enlarged and stacked, and whose blocks go by one name each.

    MONAI lists every block twice, which would make a checkpoint twice as large.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        skips = network.skip_layers
        del network.skip_layers
        network.__dict__["skip_layers"] = skips
        self.network = network

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        logits = self.network.output_block(self.network.skip_layers(x))
        if self.training and self.network.deep_supervision:
            return [logits, *self.network.heads]
        return logits


class Heads(nn.Module):
    """A network that returns a tuple in training, handed on as a list."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        outputs = self.network(x)
        return list(outputs) if isinstance(outputs, tuple) else outputs


def swin_unetr(
    geometry: Geometry, *, width: int = 24, window: int = 7, dropout: float = 0.0, version: Literal[1, 2] = 1
) -> nn.Module:
    """SwinUNETR of `width` channels at half resolution; `dropout` after its embedding and in its MLPs.

    Attention sees `window` tokens along each axis.

    `version` 2 has a residual convolution before each stage, as in SwinUNETR-V2.

    Raises:
        IncompatibleError: the patch cannot be halved five times, or a parameter is out of its range.
    """
    name = "monai_swin_unetr"
    heads = 3  # of the first level
    _require(
        *_patch_problems(name, geometry, stride=32, smallest=2),
        *([] if width > 0 and width % (4 * heads) == 0 else [_wrong(name, "width", width, "a multiple of 12")]),
        *([] if window > 1 else [_wrong(name, "window", window, "at least 2")]),
        *_probability_problems(name, "dropout", dropout),
    )
    from monai.networks.nets import SwinUNETR  # noqa: PLC0415 seconds that only those pay who build it

    network: nn.Module = SwinUNETR(
        in_channels=geometry.in_channels,
        out_channels=geometry.out_channels,
        spatial_dims=len(geometry.patch),
        feature_size=width,
        window_size=window,
        drop_rate=dropout,
        use_v2=version == 2,
    )
    return network


def dynunet(
    geometry: Geometry,
    *,
    widths: tuple[int, ...] = (32, 64, 128, 256, 320, 320),
    residual: bool = False,
    deep_supervision: int = 0,
) -> nn.Module:
    """DynUNet, laid out as nnU-Net lays out its own: 3 wide everywhere, halved at each level below the first.

    `widths` are the channels of the levels, three or more; with `residual`, blocks are residual, their shortcuts
    1 wide. So many levels below the first as `deep_supervision` says have a head while the network is trained.

    Raises:
        IncompatibleError: the patch cannot be halved as often, or a parameter is out of its range.
    """
    name = "monai_dynunet"
    most = max(0, len(widths) - 2)
    _require(
        *_widths_problems(name, widths, least=3),
        *_patch_problems(name, geometry, stride=2 ** (len(widths) - 1), smallest=2),
        *(
            []
            if 0 <= deep_supervision <= most
            else [_wrong(name, "deep_supervision", deep_supervision, f"0 to {most} levels")]
        ),
    )
    from monai.networks.nets import DynUNet  # noqa: PLC0415 as above

    halved = [2] * (len(widths) - 1)
    network = DynUNet(
        spatial_dims=len(geometry.patch),
        in_channels=geometry.in_channels,
        out_channels=geometry.out_channels,
        kernel_size=[3] * len(widths),
        strides=[1, *halved],
        upsample_kernel_size=halved,
        filters=widths,
        deep_supervision=deep_supervision > 0,
        deep_supr_num=max(1, deep_supervision),
        trans_bias=True,
        res_block=residual,
    )
    return Supervised(network)


def segresnet(geometry: Geometry, *, width: int = 32, dropout: float = 0.0) -> nn.Module:
    """SegResNet in four levels, `width` channels at the first and twice as many at each below.

    `dropout` acts once, after the first convolution.

    Raises:
        IncompatibleError: the patch cannot be halved three times, or a parameter is out of its range.
    """
    name = "monai_segresnet"
    _require(
        *_patch_problems(name, geometry, stride=8),
        *([] if width > 0 and width % GROUPS == 0 else [_wrong(name, "width", width, f"a multiple of {GROUPS}")]),
        *_probability_problems(name, "dropout", dropout),
    )
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
    """V-Net, 16 channels at the first of five levels; `dropout` at the coarser levels of both paths.

    Raises:
        IncompatibleError: the patch cannot be halved four times, 16 is no multiple of the number of channels, or
            the dropout is no probability.
    """
    name = "monai_vnet"
    odd = 16 % geometry.in_channels
    channels = f"{name}: found {geometry.in_channels} channels, expected 1, 2, 4, 8 or 16, which it repeats to 16"
    _require(
        *_patch_problems(name, geometry, stride=16),
        *([f"{channels}; choose another model or other channels"] if odd else []),
        *_probability_problems(name, "dropout", dropout),
    )
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
    """MONAI's AttentionUnet, `widths` channels from level to level, each half as large as the one above.

    It is another network than `attention_unet`: it goes down by strided convolutions and merges by a single one.
    `dropout` stands in every block.

    Raises:
        IncompatibleError: the patch cannot be halved as often, or a parameter is out of its range.
    """
    name = "monai_attention_unet"
    _require(
        *_widths_problems(name, widths, least=2),
        *_patch_problems(name, geometry, stride=2 ** (len(widths) - 1)),
        *_probability_problems(name, "dropout", dropout),
    )
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
    """MONAI's BasicUNet++, `widths` channels from level to level, those of the first before the output as well.

    Only the densest of its four outputs is used. `dropout` stands in every block.

    Raises:
        IncompatibleError: the patch cannot be halved four times, or a parameter is out of its range.
    """
    name = "monai_basic_unet_plus_plus"
    _require(
        *_widths_problems(name, widths, least=5),
        *_patch_problems(name, geometry, stride=16, smallest=2),
        *_probability_problems(name, "dropout", dropout),
    )
    from monai.networks.nets import BasicUNetPlusPlus  # noqa: PLC0415 as above

    network = BasicUNetPlusPlus(
        spatial_dims=len(geometry.patch),
        in_channels=geometry.in_channels,
        out_channels=geometry.out_channels,
        features=(*widths, widths[0]),
        dropout=dropout,
    )
    return First(network)


def mednext(
    geometry: Geometry,
    *,
    size: Literal["S", "B", "M", "L"] = "S",
    kernel: int = 3,
    width: int = 32,
    deep_supervision: bool = False,
) -> nn.Module:
    """MedNeXt of one of the paper's sizes, `kernel` wide, with `width` channels at the first of five levels.

    `size` says how many blocks a level has and how far they widen its channels. With `deep_supervision`, each
    level of the decoder and the bottleneck have a head while the network is trained.

    Raises:
        IncompatibleError: the patch cannot be halved four times, or a parameter is out of its range.
    """
    name = "monai_mednext"
    _require(
        *_patch_problems(name, geometry, stride=16, smallest=2),
        *([] if kernel > 0 and kernel % 2 else [_wrong(name, "kernel", kernel, "an odd number")]),
        *([] if width > 0 else [_wrong(name, "width", width, "at least 1")]),
    )
    from monai.networks.nets import MedNeXt  # noqa: PLC0415 as above

    *ratios, widest = MEDNEXT_RATIOS[size]
    *blocks, deepest = MEDNEXT_BLOCKS[size]
    network = MedNeXt(
        spatial_dims=len(geometry.patch),
        init_filters=width,
        in_channels=geometry.in_channels,
        out_channels=geometry.out_channels,
        encoder_expansion_ratio=ratios,
        decoder_expansion_ratio=ratios[::-1],
        bottleneck_expansion_ratio=widest,
        kernel_size=kernel,
        deep_supervision=deep_supervision,
        use_residual_connection=True,
        blocks_down=blocks,
        blocks_bottleneck=deepest,
        blocks_up=blocks[::-1],
    )
    return Heads(network)


def _patch_problems(name: str, geometry: Geometry, *, stride: int, smallest: int = 1) -> list[str]:
    """Whether the patch divides by the stride, and leaves `smallest` voxels or more at the bottom.

    Instance normalisation of one voxel is undefined.
    """
    found = f"{name}: patch is {list(geometry.patch)}, expected"
    if any(size % stride for size in geometry.patch):
        return [f"{found} multiples of {stride}; change the protocol's patch"]
    if math.prod(size // stride for size in geometry.patch) < smallest:
        return [f"{found} more than {stride} along an axis; enlarge the protocol's patch"]
    return []


def _widths_problems(name: str, widths: tuple[int, ...], *, least: int) -> list[str]:
    if len(widths) < least or min(widths) < 1:
        return [_wrong(name, "widths", list(widths), f"{least} or more, each at least 1")]
    return []


def _probability_problems(name: str, parameter: str, value: float) -> list[str]:
    return [] if 0 <= value < 1 else [_wrong(name, parameter, value, "a probability in [0, 1)")]


def _wrong(name: str, parameter: str, found: object, expected: str) -> str:
    return f"{name}: {parameter} is {found}, expected {expected}; choose another"


def _require(*problems: str) -> None:
    if problems:
        raise IncompatibleError(*problems)


def _plugin(
    name: str,
    build: Callable[..., nn.Module],
    source: str,
    *published: tuple[Geometry, dict[str, object], int, int],
    unused: tuple[str, ...] = (),
) -> ModelPlugin:
    return ModelPlugin(
        name=f"monai_{name}",
        build=build,
        source=source,
        licence="Apache-2.0 (MONAI)",
        ndims=frozenset({2, 3}),
        needs=("monai", "einops"),
        unused=unused,
        published=tuple(
            Published(source="monai 1.6.1", geometry=geometry, params=params, parameters=parameters, macs=macs)
            for geometry, params, parameters, macs in published
        ),
    )


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    nnunet, brats, slices = Geometry(5, 3, (128,) * 3), Geometry(4, 3, (128,) * 3), (256, 256)
    two: dict[str, object] = {"deep_supervision": 2}
    deep: dict[str, object] = {"widths": (64, 96, 128, 192, 256, 384, 512)}
    idle = ("network.final_conv_0_1.*", "network.final_conv_0_2.*", "network.final_conv_0_3.*")
    return [
        _plugin("swin_unetr", swin_unetr, "arXiv:2201.01266"),
        _plugin(
            "dynunet",
            dynunet,
            "doi:10.1038/s41592-020-01008-z",
            (nnunet, two, 31_194_281, 484_609_359_872),
            (nnunet, {**two, "residual": True}, 31_424_009, 485_932_924_928),
            (nnunet, {**two, **deep}, 50_838_665, 1_361_375_133_696),
            (nnunet, {**two, **deep, "residual": True}, 51_229_321, 1_364_193_181_696),
        ),
        _plugin("segresnet", segresnet, "arXiv:1810.11654", (brats, {}, 18_798_627, 584_585_314_304)),
        _plugin("vnet", vnet, "arXiv:1606.04797"),
        _plugin(
            "attention_unet",
            attention_unet,
            "arXiv:1804.03999",
            (Geometry(1, 2, slices), {}, 31_739_250, 42_194_436_096),
            (Geometry(3, 1, slices), {}, 31_740_337, 42_265_739_264),
        ),
        _plugin("basic_unet_plus_plus", basic_unet_plus_plus, "arXiv:1807.10165", unused=idle),
        _plugin("mednext", mednext, "arXiv:2303.09975"),
    ]
