"""The memory layout of a network: the order of the values of its weights, which changes results by rounding only.

GPUs compute convolutions of slices fastest where the channels of a pixel are next to each other. For volumes this
depends on the GPU, the version of cuDNN and the network.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from benchbench.engine.network.instance_norm import LayoutKeepingInstanceNorm3d

Layout = Literal["contiguous", "channels_last", "channels_last_3d"]
"""The layouts as torch names them; the second is that of slices, the third that of volumes."""

_FORMATS: dict[int, tuple[Layout, torch.memory_format]] = {
    4: ("channels_last", torch.channels_last),
    5: ("channels_last_3d", torch.channels_last_3d),
}
"""Axes of a weight -> its layout other than contiguous."""


def layout_of(network: nn.Module) -> Layout:
    """Return the layout of the weights; "contiguous" if all of them are so."""
    for parameter in network.parameters():
        if parameter.ndim not in _FORMATS or parameter.is_contiguous():
            continue
        layout, memory_format = _FORMATS[parameter.ndim]
        if parameter.is_contiguous(memory_format=memory_format):
            return layout
    return "contiguous"


def has_choice_of_layout(network: nn.Module, device: torch.device) -> bool:
    """Return True if a network is on a GPU and has weights for volumes."""
    return device.type == "cuda" and any(parameter.ndim == 5 for parameter in network.parameters())


def to_channels_last_3d(network: nn.Module) -> nn.Module:
    """Change the convolutions and normalisations of volumes to the layout channels_last_3d; return the network.

    The names of the weights stay. Layers of other kinds may copy their input to another layout, which takes time.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.to(memory_format=torch.channels_last_3d)
        elif type(module) is nn.InstanceNorm3d:  # a subclass may compute something else
            module.__class__ = LayoutKeepingInstanceNorm3d
    return network
