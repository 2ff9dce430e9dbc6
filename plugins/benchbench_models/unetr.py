"""UNETR: a vision transformer as encoder, its hidden states led into a decoder of convolutions, in 2D and 3D.

Source: Hatamizadeh et al. 2022, arXiv:2103.10504, as MONAI implements it, with the residual and convolution blocks
that the authors' own training script switches on.
Differs: the paper prints 92.58 M parameters, this network has 92,802,478 (1 channel to 14 at 96³).
The position embedding holds one vector a token, so a network reads only the size that it was built for. Of every
transformer block MONAI has a normalisation for cross attention that nothing runs through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchbench import Geometry, IncompatibleError, ModelPlugin, Published, hookimpl

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
    """UNETR as MONAI has it, in 12 transformer blocks.

    `width` is the number of channels at full resolution, doubled at each level below. Tokens are vectors of
    `hidden` numbers, shared out among the `heads` of attention; `mlp` numbers stand between the layers of an MLP.
    `dropout` acts inside the transformer.

    Raises:
        IncompatibleError: the patch does not divide into tokens, or a parameter is out of its range.
    """
    problems = list(_problems(geometry, width=width, hidden=hidden, mlp=mlp, heads=heads, dropout=dropout))
    if problems:
        raise IncompatibleError(*problems)
    from monai.networks.nets import UNETR  # noqa: PLC0415 seconds that only those pay who build it

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
    return network


def _problems(geometry: Geometry, *, width: int, hidden: int, mlp: int, heads: int, dropout: float) -> list[str]:
    problems = []
    if any(size % TOKEN for size in geometry.patch):
        found = f"unetr: patch is {list(geometry.patch)}, expected multiples of {TOKEN}"
        problems.append(f"{found}; change the protocol's patch")
    elif all(size == TOKEN for size in geometry.patch):
        # instance normalisation of one voxel is undefined
        problems.append(f"unetr: patch is {list(geometry.patch)}, one token, expected two or more; enlarge it")
    for name, value in (("width", width), ("hidden", hidden), ("mlp", mlp), ("heads", heads)):
        if value < 1:
            problems.append(f"unetr: {name} is {value}, expected at least 1; choose another")
    if heads > 0 and hidden % heads:
        problems.append(f"unetr: hidden is {hidden}, expected a multiple of heads = {heads}; change one of them")
    if not 0 <= dropout < 1:
        problems.append(f"unetr: dropout is {dropout}, expected a probability in [0, 1); choose another")
    return problems


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
            unused=("vit.blocks.*.norm_cross_attn.*",),
            published=published,
        )
    ]
