"""Runs a network in the precision of the protocol, on slices padded to its stride, and checks its output."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor, nn

from benchbench.contract import Geometry, ModelPlugin
from benchbench.engine.network.losses import (
    SumOverBatch,
    compute_loss,
    deep_supervision_loss,
    whole_batch_is_here,
)
from benchbench.engine.network.regions import is_partial, region_masks
from benchbench.errors import IncompatibleError
from benchbench.spec.protocol import Protocol

STRIDE = 32
"""Slices are padded to a multiple of this: five halvings, the most that a built-in 2D model makes."""

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def geometry_for(protocol: Protocol, *, channels: int, regions: int) -> Geometry:
    """Return the geometry that a model is built for under a protocol, for the channels of an image."""
    channels = (channels + protocol.one_hot_foreground) * (2 * protocol.context + 1)
    classes = regions + 1 if protocol.activation == "softmax" else regions
    patch = protocol.patch
    if protocol.ndim == 2:
        patch = tuple(_padded_size(size) for size in patch)
    return Geometry(channels, classes, patch)


def forward(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits (B, K, *patch) of a model in eval mode for images (B, C, *patch)."""
    return _cropped(model(_padded(images)), images)


def forward_with_loss(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    protocol: Protocol,
    *,
    regions: int,
    sum_over_batch: SumOverBatch = whole_batch_is_here,
) -> tuple[Tensor, Tensor]:
    """Return the training loss of a model, a scalar, and its finest logits (B, K, *patch).

    images (B, C, *patch), labels (B, *patch) bit masks. The model runs under autocast, the loss does not. Where
    the images are a part of a batch, `sum_over_batch` makes Dice that of the whole batch; a loss that the model
    defines itself is that of the part.
    """

    def criterion(logits: Tensor | Sequence[Tensor]) -> Tensor:
        cropped = [_cropped(head, images) for head in _heads(logits)]
        with torch.autocast(images.device.type, enabled=False):
            return deep_supervision_loss(protocol.loss, cropped, labels, sum_over_batch=sum_over_batch)

    with autocast(images.device, protocol.precision):
        if hasattr(model, "loss"):
            _check_leaves_out(model, labels)
            targets = region_masks(_padded(labels[:, None])[:, 0], regions)
            loss, logits = model.loss(_padded(images), targets, criterion)
            return loss, _cropped(logits, images)
        logits = model(_padded(images))
    return criterion(logits), _cropped(_heads(logits)[0], images)


def _check_leaves_out(model: nn.Module, labels: Tensor) -> None:
    """Refuse a model whose own loss would learn regions that are not labelled.

    Raises:
        IncompatibleError: samples lack a region by declaration, and the loss does not leave it out.
    """
    if is_partial(labels) and not getattr(model, "leaves_out_ignored", False):
        raise IncompatibleError(
            f"{type(model).__name__} has a loss of its own, which cannot leave out regions that a case lacks"
            " (labelled_regions); choose another model"
        )


def _heads(logits: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    """Return the logits of all heads, finest first."""
    return [logits] if isinstance(logits, Tensor) else logits


def _padded_size(size: int) -> int:
    return math.ceil(size / STRIDE) * STRIDE


def _padded(images: Tensor) -> Tensor:
    """Return slices (B, C, H, W) padded to the stride, in the memory layout that convolutions are fastest with.

    A volume has the size of the patch that the network was built for, and is returned as it is.
    """
    if images.ndim != 4:
        return images
    height, width = images.shape[2:]
    if height % STRIDE or width % STRIDE:
        images = F.pad(images, (0, -width % STRIDE, 0, -height % STRIDE))
    return images.contiguous(memory_format=_layout(images.device))


def _layout(device: torch.device) -> torch.memory_format:
    # torch 2.15 corrupts memory on a CPU in the gradient of narrow, strided 1x1 convolutions in channels-last
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def _cropped(logits: Tensor, images: Tensor) -> Tensor:
    """Return logits without the padding of the images; logits may be smaller than these by a power of two."""
    if images.ndim != 4 or not any(size % STRIDE for size in images.shape[2:]):
        return logits
    stops = []
    for size, logits_size in zip(images.shape[2:], logits.shape[2:], strict=True):
        stops.append(math.ceil(size * logits_size / _padded_size(size)))
    return logits[..., : stops[0], : stops[1]]


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context of the protocol's precision on a GPU; a CPU computes in fp32."""
    return torch.autocast(
        device.type,
        dtype=_AUTOCAST.get(precision, torch.bfloat16),
        enabled=device.type == "cuda" and precision in _AUTOCAST,
    )


def effective_precision(device: torch.device, precision: str) -> str:
    """Return the precision that `autocast` gives on a device."""
    return precision if device.type == "cuda" else "fp32"


def move_to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the model on a device; weights of 2D convolutions get the memory layout of the images.

    Those of volumes are contiguous, until a measurement shows that `to_channels_last_3d` makes the model faster.
    """
    if any(parameter.ndim == 5 for parameter in model.parameters()):
        return model.to(device)
    return model.to(device=device, memory_format=_layout(device))


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable parameters; shared ones count once."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def count_parameters_with_statistics(model: nn.Module) -> int:
    """Return the number of trainable parameters and of running means and variances, as Keras counts a network."""
    statistics = 0
    for name, buffer in model.named_buffers():
        if name.rpartition(".")[2] in {"running_mean", "running_var"}:
            statistics += buffer.numel()
    return count_parameters(model) + statistics


def check_output(plugin: ModelPlugin, model: nn.Module, geometry: Geometry, protocol: Protocol) -> None:
    """Run images of zeros through a new model and its loss, so that a wrong shape is found before training.

    Raises:
        IncompatibleError: the output is not what the contract asks for.
    """
    device = next(model.parameters()).device
    count = 2 if len(geometry.patch) == 2 else 1
    images = torch.zeros(count, geometry.in_channels, *geometry.patch, device=device)
    with torch.no_grad():
        logits = model.eval()(images)
    expected = (count, geometry.out_channels, *geometry.patch)
    if not isinstance(logits, Tensor):
        raise IncompatibleError(
            f"model '{plugin.name}' returned {type(logits).__name__}, expected a tensor {expected}"
        )
    if tuple(logits.shape) != expected:
        raise IncompatibleError(f"model '{plugin.name}' returned shape {tuple(logits.shape)}, expected {expected}")
    if not torch.isfinite(logits).all():
        raise IncompatibleError(f"model '{plugin.name}' returned nan or infinite logits for an image of zeros")
    labels = torch.zeros(count, *geometry.patch, dtype=torch.uint8, device=device)
    compute_loss(protocol.loss, logits, labels)
