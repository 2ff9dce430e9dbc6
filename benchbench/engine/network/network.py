"""Runs a model on images of any size: padded to its stride, cropped back, in the protocol's precision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor, nn

from benchbench.contract import Geometry, ModelPlugin
from benchbench.engine.network.losses import Summed, as_it_is, compute_loss, deep_loss, region_masks
from benchbench.errors import IncompatibleError
from benchbench.spec.protocol import Protocol

STRIDE = 32
"""Every input is padded to a multiple of this: five halvings, the most that a built-in 2D model makes."""

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def geometry(protocol: Protocol, *, channels: int, regions: int) -> Geometry:
    """What a model is built for under a protocol."""
    classes = regions + 1 if protocol.activation == "softmax" else regions
    if protocol.ndim == 3:
        return Geometry(channels, classes, protocol.patch)
    return Geometry(channels, classes, tuple(-(-size // STRIDE) * STRIDE for size in protocol.patch))


def forward(model: nn.Module, images: Tensor) -> Tensor:
    """Images (B, C, *patch) -> logits (B, K, *patch) of a model in eval mode."""
    return _cropped(model(_padded(images)), images)


def forward_with_loss(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    protocol: Protocol,
    *,
    regions: int,
    summed: Summed = as_it_is,
) -> tuple[Tensor, Tensor]:
    """The training loss of a model, a scalar, and its finest logits (B, K, *patch).

    images (B, C, *patch), labels (B, *patch) bit masks. Under autocast runs the model, not the loss. Where these
    are a part of a batch, `summed` makes the Dice that of the whole; a loss of the model's own is of the part.
    """

    def criterion(logits: Tensor | Sequence[Tensor]) -> Tensor:
        heads = [logits] if isinstance(logits, Tensor) else logits
        with torch.autocast(images.device.type, enabled=False):
            return deep_loss(protocol.loss, [_cropped(head, images) for head in heads], labels, summed=summed)

    with autocast(images.device, protocol.precision):
        if hasattr(model, "loss"):
            targets = region_masks(_padded(labels[:, None])[:, 0], regions)
            loss, logits = model.loss(_padded(images), targets, criterion)
            return loss, _cropped(logits, images)
        logits = model(_padded(images))
    return criterion(logits), _cropped(logits if isinstance(logits, Tensor) else logits[0], images)


def _padded(images: Tensor) -> Tensor:
    """Slices are padded to the stride of the deepest network and, on a GPU, laid out as convolutions are fastest.

    A volume is a patch, which the network was built for.
    """
    if images.ndim != 4:
        return images
    padding = [amount for size in reversed(images.shape[2:]) for amount in (0, -size % STRIDE)]
    return (F.pad(images, padding) if any(padding) else images).contiguous(memory_format=_layout(images.device))


def _layout(device: torch.device) -> torch.memory_format:
    # torch 2.15 corrupts a CPU's memory in the gradient of narrow, strided 1x1 convolutions in channels-last
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def _cropped(logits: Tensor, images: Tensor) -> Tensor:
    """What belongs to the images as they were before padding; logits may be smaller by a power of two."""
    if images.ndim != 4 or not any(size % STRIDE for size in images.shape[2:]):
        return logits
    padded = [-(-size // STRIDE) * STRIDE for size in images.shape[2:]]
    sizes = zip(images.shape[2:], logits.shape[2:], padded, strict=True)
    return logits[(..., *(slice(-(-size * head // whole)) for size, head, whole in sizes))]


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
    """The model on its device, the weights of 2D convolutions laid out like its images."""
    if any(parameter.ndim == 5 for parameter in model.parameters()):
        return model.to(device)  # instance normalisation of volumes would undo another layout at every block
    return model.to(device=device, memory_format=_layout(device))


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def check_output(plugin: ModelPlugin, model: nn.Module, wanted: Geometry, protocol: Protocol) -> None:
    """Runs made-up images through a new model and its loss, so that a wrong shape shows before training.

    Raises:
        IncompatibleError: the output is not what the contract asks for.
    """
    device = next(model.parameters()).device
    count = 2 if len(wanted.patch) == 2 else 1
    images = torch.zeros(count, wanted.in_channels, *wanted.patch, device=device)
    with torch.no_grad():
        logits = model.eval()(images)
    expected = (count, wanted.out_channels, *wanted.patch)
    if not isinstance(logits, Tensor):
        raise IncompatibleError(
            f"model '{plugin.name}' returned {type(logits).__name__}, expected a tensor {expected}"
        )
    if tuple(logits.shape) != expected:
        raise IncompatibleError(f"model '{plugin.name}' returned shape {tuple(logits.shape)}, expected {expected}")
    if not torch.isfinite(logits).all():
        raise IncompatibleError(f"model '{plugin.name}' returned nan or infinite logits for an image of zeros")
    compute_loss(protocol.loss, logits, torch.zeros(count, *wanted.patch, dtype=torch.uint8, device=device))
