"""Runs a model on images of any size: padded to its stride, cropped back, in the protocol's precision."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor, nn

from benchbench.contract import Geometry, ModelPlugin
from benchbench.engine.losses import compute_loss
from benchbench.errors import IncompatibleError
from benchbench.protocol import Protocol

STRIDE = 32
"""Every input is padded to a multiple of this: five halvings, the most that a built-in 2D model makes."""

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def geometry(protocol: Protocol, *, channels: int, regions: int) -> Geometry:
    """What a model is built for under a protocol."""
    classes = regions + 1 if protocol.activation == "softmax" else regions
    return Geometry(channels, classes, tuple(-(-size // STRIDE) * STRIDE for size in protocol.patch))


def forward(model: nn.Module, images: Tensor) -> Tensor:
    """Images (B, C, *patch) -> logits (B, K, *patch)."""
    padding = [amount for size in reversed(images.shape[2:]) for amount in (0, -size % STRIDE)]
    logits = model(F.pad(images, padding) if any(padding) else images)
    return logits[(..., *(slice(size) for size in images.shape[2:]))]


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The protocol's precision on a GPU; a CPU computes in fp32."""
    return torch.autocast(
        device.type,
        dtype=_AUTOCAST.get(precision, torch.bfloat16),
        enabled=device.type == "cuda" and precision in _AUTOCAST,
    )


def effective_precision(device: torch.device, precision: str) -> str:
    return precision if device.type == "cuda" else "fp32"


def place_on(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on its device, its weights laid out as convolutions read them fastest."""
    return model.to(device=device, memory_format=torch.channels_last)


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def check_output(plugin: ModelPlugin, model: nn.Module, wanted: Geometry, protocol: Protocol) -> None:
    """Runs two made-up images through a new model and its loss, so that a wrong shape shows before training.

    Raises:
        IncompatibleError: the output is not what the contract asks for.
    """
    device = next(model.parameters()).device
    images = torch.zeros(2, wanted.in_channels, *wanted.patch, device=device)
    with torch.no_grad():
        logits = model.eval()(images)
    expected = (2, wanted.out_channels, *wanted.patch)
    if not isinstance(logits, Tensor):
        raise IncompatibleError(
            f"model '{plugin.name}' returned {type(logits).__name__}, expected a tensor {expected}"
        )
    if tuple(logits.shape) != expected:
        raise IncompatibleError(f"model '{plugin.name}' returned shape {tuple(logits.shape)}, expected {expected}")
    if not torch.isfinite(logits).all():
        raise IncompatibleError(f"model '{plugin.name}' returned nan or infinite logits for an image of zeros")
    compute_loss(protocol.loss, logits, torch.zeros(2, *wanted.patch, dtype=torch.uint8, device=device))
