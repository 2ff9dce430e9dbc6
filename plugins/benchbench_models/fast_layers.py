"""Layers of torch as they are, without copies that a GPU would make for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

_INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


class Upsampling(nn.Upsample):
    """Interpolation in the precision of its input, which autocast on a GPU would enlarge to fp32."""

    def forward(self, x: Tensor) -> Tensor:
        if x.is_meta:  # autocast knows no such device
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x)


def without_copies(network: nn.Module) -> nn.Module:
    """Return a network whose instance normalisations can be followed by layers that work in place.

    Their output is a view of a larger tensor, and the gradient of an operation in place on a view is copied twice.
    Here it is a tensor of its own in the same memory. No number changes.
    """
    for module in network.modules():
        if isinstance(module, _INSTANCE_NORMS):
            module.register_forward_hook(_hide_view)
    return network


def _hide_view(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    is_recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()
    if is_recorded or not output.requires_grad:
        return output
    result: Tensor = _SameMemory.apply(output)
    return result


class _SameMemory(torch.autograd.Function):
    """The input as a tensor that is no view; the normalisation does not read its output in the backward pass."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return x.detach()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return gradient
