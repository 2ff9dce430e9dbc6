"""nnU-Net's own networks, from its dynamic-network-architectures: plain, and with a residual encoder.

Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, and 2024, arXiv:2404.09556.
Convolutions 3 wide, instance normalisation, leaky ReLU; a level below the first is half as large, and there are as
many levels as `widths` has numbers. nnU-Net would plan levels, kernels and patch from the dataset; here the
benchmark says them, the same for every model. Initialised as nnU-Net initialises.
Differs: without deep supervision the heads that only it would use are left out, not built and idle.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import nn

from benchbench import Geometry, IncompatibleError, ModelPlugin, Published, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = (32, 64, 128, 256, 320, 320)
BLOCKS = (1, 3, 4, 6, 6, 6)
"""Of the residual encoder's levels, from the finest."""
SLOPE = 0.01


class Heads(nn.Module):
    """A network whose decoder has heads below the finest in training only."""

    def __init__(self, network: nn.Module, *, deep_supervision: bool) -> None:
        super().__init__()
        # the library keeps the encoder in its decoder and every layer under two names; a checkpoint would as well
        del network.decoder.encoder
        for block in network.modules():
            layers = set(getattr(block, "all_modules", ()))
            for name in [name for name, layer in block.named_children() if layer in layers]:
                delattr(block, name)
        if not deep_supervision:
            network.decoder.seg_layers = network.decoder.seg_layers[-1:]
        self.network = network
        self.deep_supervision = deep_supervision

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        self.network.decoder.deep_supervision = self.deep_supervision and self.training
        return self.network(x)


def build_plain(
    geometry: Geometry,
    *,
    widths: tuple[int, ...] = WIDTHS,
    convolutions: int = 2,
    bias: bool = True,
    deep_supervision: bool = False,
) -> nn.Module:
    """PlainConvUNet: so many `convolutions` at each level of encoder and decoder, `widths` channels wide.

    Without `bias` the convolutions have none. With `deep_supervision` every level of the decoder has a head while
    the network is trained.

    Raises:
        IncompatibleError: the patch cannot be halved as often, or a parameter is out of its range.
    """
    problems = _problems("nnunet_plain", geometry, widths)
    if convolutions < 1:
        problems.append(f"nnunet_plain: convolutions is {convolutions}, expected at least 1; choose another")
    if problems:
        raise IncompatibleError(*problems)
    from dynamic_network_architectures.architectures.unet import PlainConvUNet  # noqa: PLC0415 only who builds it

    network = PlainConvUNet(
        n_conv_per_stage=convolutions,
        n_conv_per_stage_decoder=convolutions,
        **_layout(geometry, widths, bias=bias),
    )
    network.apply(PlainConvUNet.initialize)
    return Heads(network, deep_supervision=deep_supervision)


def build_residual(
    geometry: Geometry,
    *,
    widths: tuple[int, ...] = WIDTHS,
    blocks: tuple[int, ...] = BLOCKS,
    deep_supervision: bool = False,
) -> nn.Module:
    """ResidualEncoderUNet: so many residual `blocks` at each level of the encoder, `widths` channels wide.

    The decoder has one convolution a level. With `deep_supervision` every level of the decoder has a head while
    the network is trained.

    Raises:
        IncompatibleError: the patch cannot be halved as often, or a parameter is out of its range.
    """
    problems = _problems("nnunet_residual", geometry, widths)
    if len(blocks) != len(widths) or min(blocks, default=0) < 1:
        problems.append(
            f"nnunet_residual: blocks is {list(blocks)}, expected {len(widths)} as widths has, each at least 1;"
            " change one of them"
        )
    if problems:
        raise IncompatibleError(*problems)
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet  # noqa: PLC0415 as above

    network = ResidualEncoderUNet(
        n_blocks_per_stage=list(blocks), n_conv_per_stage_decoder=1, **_layout(geometry, widths, bias=True)
    )
    network.apply(ResidualEncoderUNet.initialize)
    return Heads(network, deep_supervision=deep_supervision)


def _layout(geometry: Geometry, widths: tuple[int, ...], *, bias: bool) -> dict[str, object]:
    """What both networks have in common, in the library's words."""
    is_flat = len(geometry.patch) == 2
    return {
        "input_channels": geometry.in_channels,
        "num_classes": geometry.out_channels,
        "n_stages": len(widths),
        "features_per_stage": list(widths),
        "conv_op": nn.Conv2d if is_flat else nn.Conv3d,
        "kernel_sizes": 3,
        "strides": [1, *[2] * (len(widths) - 1)],
        "conv_bias": bias,
        "norm_op": nn.InstanceNorm2d if is_flat else nn.InstanceNorm3d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"negative_slope": SLOPE, "inplace": True},
        "deep_supervision": False,
    }


def _problems(name: str, geometry: Geometry, widths: tuple[int, ...]) -> list[str]:
    if len(widths) < 2 or min(widths) < 1:
        return [f"{name}: widths is {list(widths)}, expected two or more, each at least 1; choose others"]
    stride = 2 ** (len(widths) - 1)
    found = f"{name}: patch is {list(geometry.patch)}, expected"
    if any(size % stride for size in geometry.patch):
        return [
            f"{found} multiples of {stride} for {len(widths)} widths; change the protocol's patch or the widths"
        ]
    if math.prod(geometry.patch) == stride ** len(geometry.patch):
        # instance normalisation of one voxel is undefined
        return [f"{found} more than {stride} along an axis; enlarge the protocol's patch"]
    return []


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    cube, nvidia = Geometry(4, 4, (128,) * 3), Geometry(5, 3, (128,) * 3)
    deep = (64, 96, 128, 192, 256, 384, 512)
    source = "MIC-DKFZ/dynamic-network-architectures@d35f85c"

    def counted(geometry: Geometry, parameters: int, macs: int, **params: object) -> Published:
        given = {**params, "deep_supervision": True}
        return Published(source=source, geometry=geometry, params=given, parameters=parameters, macs=macs)

    plain = (
        counted(cube, 31_199_796, 482_801_614_848),
        counted(cube, 31_195_156, 482_801_614_848, bias=False),
        counted(nvidia, 31_199_855, 484_546_445_312),
        counted(nvidia, 50_846_674, 1_361_287_053_312, widths=deep),
        counted(nvidia, 50_840_050, 1_361_287_053_312, widths=deep, bias=False),
    )
    residual = (counted(cube, 102_353_972, 722_973_229_056),)
    return [
        ModelPlugin(
            name=name,
            build=build,
            source=paper,
            licence="Apache-2.0 (dynamic-network-architectures)",
            ndims=frozenset({2, 3}),
            needs=("dynamic_network_architectures",),
            extra="nnunet",
            published=published,
        )
        for name, build, paper, published in (
            ("nnunet_plain", build_plain, "doi:10.1038/s41592-020-01008-z", plain),
            ("nnunet_residual", build_residual, "arXiv:2404.09556", residual),
        )
    ]
