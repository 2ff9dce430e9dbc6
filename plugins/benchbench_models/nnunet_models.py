"""nnU-Net's own networks, from its dynamic-network-architectures: plain, and with a residual encoder.

Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, and 2024, arXiv:2404.09556.
Convolutions are 3 wide, with instance normalisation and leaky ReLU; a level below the first is half as large, and
there are as many levels as `widths` has numbers. nnU-Net would plan levels, kernels and patch from the dataset;
here the benchmark sets them, the same for every model. Weights are initialised as by nnU-Net.
Differs: without deep supervision, the heads that only it would use are removed instead of built and left unused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.fast_layers import without_copies
from benchbench_models.requirements import CHANGE_PATCH, Requirements

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = (32, 64, 128, 256, 320, 320)
BLOCKS = (1, 3, 4, 6, 6, 6)
"""Blocks of the levels of the residual encoder, finest first."""
SLOPE = 0.01
"""Slope of the leaky ReLU below zero."""


class SupervisedNetwork(nn.Module):
    """A network of the library that returns the logits of the coarser heads in training only."""

    uses_all_parameters = True

    def __init__(self, network: nn.Module, *, deep_supervision: bool) -> None:
        super().__init__()
        _remove_second_names(network)
        if not deep_supervision:
            network.decoder.seg_layers = network.decoder.seg_layers[-1:]
        self.network = network
        self.deep_supervision = deep_supervision

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        self.network.decoder.deep_supervision = self.deep_supervision and self.training
        return self.network(x)


def _remove_second_names(network: nn.Module) -> None:
    """Leave every layer under one name, so that a checkpoint has its weights once.

    The library registers the encoder in the decoder as well, and every layer of a block under two names.
    """
    del network.decoder.encoder
    for block in network.modules():
        listed = set(getattr(block, "all_modules", ()))
        second_names = [name for name, layer in block.named_children() if layer in listed]
        for name in second_names:
            delattr(block, name)


def build_plain(
    geometry: Geometry,
    *,
    widths: tuple[int, ...] = WIDTHS,
    convolutions: int = 2,
    bias: bool = True,
    deep_supervision: bool = False,
) -> nn.Module:
    """Return nnU-Net's PlainConvUNet.

    widths: channels of the levels, finest first.
    convolutions: number of convolutions at each level of encoder and decoder.
    bias: convolutions have a bias.
    deep_supervision: every level of the decoder has a head of its own in training.

    Raises:
        IncompatibleError: the patch cannot be halved as often, or a parameter is out of its range.
    """
    require = _common_requirements("nnunet_plain", geometry, widths)
    require.at_least(1, convolutions=convolutions)
    require.check()
    from dynamic_network_architectures.architectures.unet import PlainConvUNet  # noqa: PLC0415 an optional library

    network = PlainConvUNet(
        n_conv_per_stage=convolutions,
        n_conv_per_stage_decoder=convolutions,
        **_common_arguments(geometry, widths, bias=bias),
    )
    network.apply(PlainConvUNet.initialize)
    return SupervisedNetwork(without_copies(network), deep_supervision=deep_supervision)


def build_residual(
    geometry: Geometry,
    *,
    widths: tuple[int, ...] = WIDTHS,
    blocks: tuple[int, ...] = BLOCKS,
    deep_supervision: bool = False,
) -> nn.Module:
    """Return nnU-Net's ResidualEncoderUNet, whose decoder has one convolution per level.

    widths: channels of the levels, finest first.
    blocks: number of residual blocks at each level of the encoder, finest first.
    deep_supervision: every level of the decoder has a head of its own in training.

    Raises:
        IncompatibleError: the patch cannot be halved as often, or a parameter is out of its range.
    """
    require = _common_requirements("nnunet_residual", geometry, widths)
    require.that(
        len(blocks) == len(widths) and min(blocks, default=0) >= 1,
        f"blocks is {list(blocks)}, expected {len(widths)} as widths has, each at least 1; change one of them",
    )
    require.check()
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet  # noqa: PLC0415 as above

    network = ResidualEncoderUNet(
        n_blocks_per_stage=list(blocks),
        n_conv_per_stage_decoder=1,
        **_common_arguments(geometry, widths, bias=True),
    )
    network.apply(ResidualEncoderUNet.initialize)
    return SupervisedNetwork(without_copies(network), deep_supervision=deep_supervision)


def _common_requirements(name: str, geometry: Geometry, widths: tuple[int, ...]) -> Requirements:
    require = Requirements(name)
    require.levels(2, widths)
    stride = 2 ** max(len(widths) - 1, 0)
    require.patch_multiple_of(stride, geometry.patch, least=2, remedy=f"{CHANGE_PATCH} or the widths")
    return require


def _common_arguments(geometry: Geometry, widths: tuple[int, ...], *, bias: bool) -> dict[str, object]:
    """Return the arguments that are the same for both networks, by the library's names."""
    is_2d = len(geometry.patch) == 2
    return {
        "input_channels": geometry.in_channels,
        "num_classes": geometry.out_channels,
        "n_stages": len(widths),
        "features_per_stage": list(widths),
        "conv_op": nn.Conv2d if is_2d else nn.Conv3d,
        "kernel_sizes": 3,
        "strides": [1, *[2] * (len(widths) - 1)],
        "conv_bias": bias,
        "norm_op": nn.InstanceNorm2d if is_2d else nn.InstanceNorm3d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"negative_slope": SLOPE, "inplace": True},
        "deep_supervision": False,
    }


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    cube, brats21 = Geometry(4, 4, (128,) * 3), Geometry(5, 3, (128,) * 3)
    deep = (64, 96, 128, 192, 256, 384, 512)
    plain = ModelPlugin(
        name="nnunet_plain",
        build=build_plain,
        source="doi:10.1038/s41592-020-01008-z",
        licence="Apache-2.0 (dynamic-network-architectures)",
        ndims=frozenset({2, 3}),
        needs=("dynamic_network_architectures",),
        extra="nnunet",
        published=(
            _counts(cube, 31_199_796, 482_801_614_848),
            _counts(cube, 31_195_156, 482_801_614_848, bias=False),
            _counts(brats21, 31_199_855, 484_546_445_312),
            _counts(brats21, 50_846_674, 1_361_287_053_312, widths=deep),
            _counts(brats21, 50_840_050, 1_361_287_053_312, widths=deep, bias=False),
        ),
    )
    residual = replace(
        plain,
        name="nnunet_residual",
        build=build_residual,
        source="arXiv:2404.09556",
        published=(_counts(cube, 102_353_972, 722_973_229_056),),
    )
    return [plain, residual]


def _counts(geometry: Geometry, parameters: int, macs: int, **params: object) -> Published:
    return Published(
        source="MIC-DKFZ/dynamic-network-architectures@d35f85c",
        geometry=geometry,
        params={**params, "deep_supervision": True},
        parameters=parameters,
        macs=macs,
    )
