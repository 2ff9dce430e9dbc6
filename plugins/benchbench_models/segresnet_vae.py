"""SegResNetVAE: a residual encoder and decoder, trained together with a variational autoencoder.

Source: Myronenko 2018, arXiv:1810.11654, as MONAI implements it: the branch of the autoencoder reconstructs the
image from the encoder's last features, and its loss is added to that of the segmentation. In eval mode the branch
does not run.
Differs: MONAI adds the branch's two terms, reconstruction and divergence, with weight 1; here `vae_weight` is 0.1
as in the paper. MONAI draws latents of a fixed deviation, 0.3, instead of estimating it, so `vae_fc2` is unused;
the width of the paper is 32, MONAI's default 8.
The branch's linear layers fix the size of the patches in training, which also decides the number of parameters.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import nn

from benchbench import Geometry, ModelPlugin, Published, hookimpl
from benchbench_models.requirements import Requirements

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

GROUPS = 8
STRIDE = 16
"""Three halvings of the encoder and one of the branch."""


class SegResNetVAE(nn.Module):
    """(B, in_channels, *patch) to logits (B, out_channels, *patch); the branch runs in `loss` only."""

    leaves_out_ignored = True
    """The branch reconstructs the image and needs no label."""

    def __init__(self, network: nn.Module, *, vae_weight: float) -> None:
        super().__init__()
        # features of 2D images may be channels last, which the branch cannot flatten
        network.vae_down.register_forward_hook(lambda _, __, features: features.contiguous())
        self.network = network
        self.vae_weight = vae_weight

    def forward(self, x: Tensor) -> Tensor:
        features, skips = self.network.encode(x)
        return self.network.decode(features, skips[::-1])

    def loss(
        self,
        images: Tensor,
        targets: Tensor,  # noqa: ARG002 the criterion compares with them
        criterion: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Return the protocol's loss plus `vae_weight` times that of the branch, and the logits."""
        logits, branch = self.network(images)
        return criterion(logits) + self.vae_weight * branch, logits


def build(geometry: Geometry, *, width: int = 32, latent: int = 256, vae_weight: float = 0.1) -> nn.Module:
    """Return MONAI's SegResNetVAE, in four levels.

    width: channels at the first level; there are twice as many at each level below.
    latent: size of the latent vector from which the branch reconstructs an image.
    vae_weight: weight of the branch's loss.

    Raises:
        IncompatibleError: the patch cannot be halved four times, or a parameter is out of its range.
    """
    require = Requirements("segresnet_vae")
    require.patch_multiple_of(STRIDE, geometry.patch)
    require.multiple_of(GROUPS, width=width)
    require.at_least(1, latent=latent)
    require.that(
        vae_weight >= 0 and math.isfinite(vae_weight),
        f"vae_weight is {vae_weight}, expected 0 or more; choose another",
    )
    require.check()
    from monai.networks.nets import SegResNetVAE as Network  # noqa: PLC0415 importing MONAI takes seconds

    network = Network(
        input_image_size=geometry.patch,
        vae_nz=latent,
        spatial_dims=len(geometry.patch),
        init_filters=width,
        in_channels=geometry.in_channels,
        out_channels=geometry.out_channels,
    )
    return SegResNetVAE(network, vae_weight=vae_weight)


@hookimpl
def benchbench_models() -> list[ModelPlugin]:
    cube, wide = Geometry(4, 3, (96,) * 3), Geometry(4, 3, (128,) * 3)
    counts = (
        (cube, 8, 3_864_047, 16_003_104_768),
        (cube, 32, 21_572_759, 246_621_929_472),
        (wide, 8, 7_506_031, 37_933_285_376),
        (wide, 16, 11_060_391, 148_008_599_552),
        (wide, 32, 25_214_743, 584_585_314_304),
        (Geometry(4, 3, (160, 192, 128)), 32, 30_726_935, 1_096_097_464_320),
    )
    published = tuple(
        Published(
            source="monai 1.6.1", geometry=geometry, params={"width": width}, parameters=parameters, macs=macs
        )
        for geometry, width, parameters, macs in counts
    )
    return [
        ModelPlugin(
            name="segresnet_vae",
            build=build,
            source="arXiv:1810.11654",
            licence="Apache-2.0 (MONAI)",
            ndims=frozenset({2, 3}),
            needs=("monai",),
            extra="monai",
            unused=("network.vae_fc2.*",),
            published=published,
        )
    ]
