"""The inner validation during training: loss and counts of every case."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchbench.engine.batches.sampling import Slices, Source, ordered_batches, to_float
from benchbench.engine.inference.counting import count_logits, counted_classes
from benchbench.engine.inference.window import predict_windows
from benchbench.engine.network.losses import compute_loss
from benchbench.engine.network.network import autocast, forward
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import Integers
from benchbench.spec.protocol import Protocol


class Validation(NamedTuple):
    """The result of an inner validation."""

    loss: float
    """Mean over slices or volumes."""
    counts: Integers
    """tp, fp, fn, tn of each case and region (N, K, 4), or with a softmax of each class (N, 1 + K, 4)."""


@torch.inference_mode()
def validate(model: nn.Module, source: Source, protocol: Protocol, *, regions: int) -> Validation:
    """Return the loss and counts of the validation cases, without test-time augmentation.

    Slices are predicted in batches; volumes in windows, whose logits are averaged. Both are scored on the prepared
    grid: the patch in 2D, the cropped volume in 3D.
    """
    model.eval()
    if isinstance(source, Slices):
        return _validate_slices(model, source, protocol, regions=regions)
    losses, counts = [], []
    for case in source.cases:
        loss, case_counts = _validate_volume(model, case, protocol, device=source.device, regions=regions)
        losses.append(loss)
        counts.append(case_counts)
    mean_loss = torch.stack(losses).mean()
    return Validation(float(mean_loss), torch.stack(counts).cpu().numpy())


def _validate_slices(model: nn.Module, slices: Slices, protocol: Protocol, *, regions: int) -> Validation:
    total = torch.zeros((), dtype=torch.float64, device=slices.device)
    shape = (len(slices.cases), counted_classes(protocol, regions), 4)
    counts = torch.zeros(shape, dtype=torch.int64, device=slices.device)
    for numbers in ordered_batches(len(slices), batch=protocol.batch):
        images, labels = slices.batch(numbers)
        with autocast(slices.device, protocol.precision):
            logits = forward(model, images)
        total += compute_loss(protocol.loss, logits, labels) * len(numbers)
        cases = slices.case_of[numbers].to(slices.device)
        counts.index_add_(0, cases, count_logits(logits, labels, protocol, regions=regions))
    return Validation(float(total) / len(slices), counts.cpu().numpy())


def _validate_volume(
    model: nn.Module, case: PreparedCase, protocol: Protocol, *, device: torch.device, regions: int
) -> tuple[Tensor, Tensor]:
    """Return the loss, a scalar, and the counts (K, 4) of a case, on the device."""
    volume = torch.from_numpy(case.image()).to(device)
    labels = torch.from_numpy(case.label()).to(device)[None]
    logits = predict_windows(
        partial(_predict_logits, model, protocol),
        to_float(volume),
        patch=protocol.patch,
        overlap=protocol.inference.overlap,
        importance=protocol.inference.importance,
    )[None]
    loss = compute_loss(protocol.loss, logits, labels)
    return loss, count_logits(logits, labels, protocol, regions=regions)[0]


def _predict_logits(model: nn.Module, protocol: Protocol, images: Tensor) -> Tensor:
    with autocast(images.device, protocol.precision):
        return forward(model, images).float()
