"""The inner validation during training: loss and counts of every case."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from benchbench.engine.batches.sampling import Slices, Source, in_order, to_float
from benchbench.engine.inference.counting import count_predicted, counted
from benchbench.engine.inference.window import predict_windows
from benchbench.engine.network.losses import compute_loss
from benchbench.engine.network.network import autocast, forward
from benchbench.engine.preparation.prepare import PreparedCase
from benchbench.images.arrays import Integers
from benchbench.spec.protocol import Protocol

Validation = tuple[float, Integers]
"""Mean loss over slices or volumes; tp, fp, fn, tn of each case and region (N, K, 4), or class (N, 1 + K, 4)."""


@torch.inference_mode()
def validate(model: nn.Module, source: Source, protocol: Protocol, *, regions: int) -> Validation:
    """Slices batch by batch; volumes window by window, their logits averaged, without test-time augmentation.

    Scores are of the prepared grid: of the patch in 2D, of the cropped volume in 3D.
    """
    model.eval()
    if isinstance(source, Slices):
        return _validate_slices(model, source, protocol, regions=regions)
    outcomes = [
        _validate_volume(model, case, protocol, device=source.device, regions=regions) for case in source.cases
    ]
    losses, counts = zip(*outcomes, strict=True)
    return float(torch.stack(losses).mean()), torch.stack(counts).cpu().numpy()


def _validate_slices(model: nn.Module, slices: Slices, protocol: Protocol, *, regions: int) -> Validation:
    total = torch.zeros((), dtype=torch.float64, device=slices.device)
    shape = (len(slices.cases), counted(protocol, regions), 4)
    counts = torch.zeros(shape, dtype=torch.int64, device=slices.device)
    for chosen in in_order(len(slices), batch=protocol.batch):
        images, labels = slices.batch(chosen)
        with autocast(slices.device, protocol.precision):
            logits = forward(model, images)
        total += compute_loss(protocol.loss, logits, labels) * len(chosen)
        cases = slices.case_of[chosen].to(slices.device)
        counts.index_add_(0, cases, count_predicted(logits, labels, protocol, regions=regions))
    return float(total) / len(slices), counts.cpu().numpy()


def _validate_volume(
    model: nn.Module, case: PreparedCase, protocol: Protocol, *, device: torch.device, regions: int
) -> tuple[Tensor, Tensor]:
    volume = torch.from_numpy(case.image()).to(device)
    labels = torch.from_numpy(case.label()).to(device)[None]
    logits = predict_windows(
        partial(_logits, model, protocol),
        to_float(volume),
        patch=protocol.patch,
        overlap=protocol.inference.overlap,
        importance=protocol.inference.importance,
    )[None]
    loss = compute_loss(protocol.loss, logits, labels)
    return loss, count_predicted(logits, labels, protocol, regions=regions)[0]


def _logits(model: nn.Module, protocol: Protocol, images: Tensor) -> Tensor:
    with autocast(images.device, protocol.precision):
        return forward(model, images).float()
