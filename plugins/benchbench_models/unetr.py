"""UNETR: a vision transformer as encoder, its hidden states passed to a decoder of convolutions, in 2D and 3D.

Source: Hatamizadeh et al. 2022, arXiv:2103.10504, as MONAI implements it, with the residual and convolution blocks
that the authors' own training script switches on.
Differs: the paper prints 92.58 M parameters, this network has 92,802,478 (1 channel to 14 at 96³).
The position embedding has one vector per token, so a network takes only patches of the size that it was built for.
Every transformer block of MONAI has a normalisation for cross attention that is not used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.fast_layers import without_copies
from benchbench_models.requirements import Requirements

if TYPE_CHECKING:
    from torch import nn

TOKEN = 16
"""Edge of the patch that becomes a token."""


def build(
    geometry: Geometry,
    *,
    width: int = 16,
    hidden: int = 768,
    mlp: int = 3072,
    heads: int = 12,
    dropout: float = 0.0,
) -> nn.Module:
    """Return MONAI's UNETR, with 12 transformer blocks.

    width: channels at full resolution; there are twice as many at each level below.
    hidden: length of the vector of a token.
    mlp: length of that vector between the two layers of an MLP.
    heads: heads of attention, among which a token's vector is divided.
    dropout: rate of dropout inside the transformer.

    Raises:
        IncompatibleError: the patch does not divide into tokens, or a parameter is out of its range.
    """
    require = Requirements("unetr")
    require.patch_multiple_of(TOKEN, geometry.patch, least=2)
    require.at_least(1, width=width, hidden=hidden, mlp=mlp, heads=heads)
    require.that(
        heads < 1 or hidden % heads == 0,
        f"hidden is {hidden}, expected a multiple of heads = {heads}; change one of them",
    )
    require.probability(dropout=dropout)
    require.check()
    from monai.networks.nets import UNETR  # noqa: PLC0415 importing MONAI takes seconds

    network: nn.Module = UNETR(
        in_channels=geometry.in_channels,
        out_channels=geometry.out_channels,
        img_size=geometry.patch,
        feature_size=width,
        hidden_size=hidden,
        mlp_dim=mlp,
        num_heads=heads,
        dropout_rate=dropout,
        spatial_dims=len(geometry.patch),
    )
    return without_copies(network)


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    source = "monai 1.6.1"
    published = (
        Published(source=source, geometry=Geometry(1, 14, (96,) * 3), parameters=92_802_478, macs=73_224_290_304),
        Published(source=source, geometry=Geometry(4, 3, (96,) * 3), parameters=102_240_819, macs=76_296_093_696),
        Published(
            source=source, geometry=Geometry(4, 3, (128,) * 3), parameters=102_468_147, macs=183_643_406_336
        ),
    )
    return [
        ModelPlugin(
            name="unetr",
            build=build,
            source="arXiv:2103.10504",
            licence="Apache-2.0 (MONAI)",
            ndims=frozenset({2, 3}),
            needs=("monai", "einops"),
            extra="monai",
            unused=("vit.blocks.*.norm_cross_attn.*",),
            published=published,
        )
    ]
