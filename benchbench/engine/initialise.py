"""Initial weights that a protocol may ask for."""

from __future__ import annotations

from typing import Literal

from torch import nn

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_SLOPE = 0.01


def initialise(model: nn.Module, how: Literal["model", "kaiming"]) -> None:
    """kaiming: convolutions get normal weights that keep the variance through a leaky ReLU of slope 0.01, no bias.

    model: as the model was built. Weights that the model says are pretrained stay as they are.

    Source: He et al. 2015, arXiv:1502.01852; slope and modules as in nnU-Net.
    """
    if how == "model" or bool(getattr(model, "pretrained", None)):
        return
    for module in model.modules():
        if isinstance(module, _CONVOLUTIONS):
            nn.init.kaiming_normal_(module.weight, a=_SLOPE)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
