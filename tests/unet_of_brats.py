"""The network of nnU-Net that NVIDIA publishes for BraTS, as the plugin builds it."""

from __future__ import annotations

from torch import nn

from benchbench import Geometry
from benchbench_models.unet import build

CUBE = Geometry(in_channels=4, out_channels=3, patch=(16, 16, 16))
BRATS_WIDTHS = (32, 64, 128, 256, 320, 320)


def build_brats(
    geometry: Geometry,
    *,
    widths: tuple[int, ...] = BRATS_WIDTHS,
    residual: bool = False,
    attention: bool = False,
    deep_supervision: int = 0,
) -> nn.Module:
    """Return the network of nnU-Net as NVIDIA publishes it."""
    return build(
        geometry,
        widths=widths,
        norm="instance",
        activation="leaky_relu",
        down="stride",
        init="kaiming",
        residual=residual,
        attention=attention,
        deep_supervision=deep_supervision,
    )
