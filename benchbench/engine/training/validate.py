"""The inner validation during training: loss and counts of every case."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchbench.engine.batches.crops import SliceCrops
from benchbench.engine.batches.patches import Patches
from benchbench.engine.batches.sampling import (
    Slices,
    Source,
    ordered_batches,
    samples_without_gradient,
    to_float,
    windows_at_once,
)
from benchbench.engine.batches.unlabelled import UnlabelledRegions
from benchbench.engine.inference.counting import count_logits, counted_classes
from benchbench.engine.inference.window import predict_windows
from benchbench.engine.inference.window_buffer import WindowBuffer, place_volume
from benchbench.engine.network.losses import loss_of_cases, loss_sums
from benchbench.engine.network.network import autocast, forward
from benchbench.images.arrays import Integers
from benchbench.spec.protocol import Protocol


class Validation(NamedTuple):
    """The result of an inner validation."""

    loss: float
    """Cross-entropy over the voxels of all cases together; Dice of each case, or slice if the loss is that of each
    image, then the mean.

    It depends on the weights and the cases alone: neither their order nor the size of a batch changes it.
    """
    counts: Integers
    """tp, fp, fn, tn of each case and region (N, K, 4), or with a softmax of each class (N, 1 + K, 4)."""


@torch.inference_mode()
def validate(
    model: nn.Module,
    source: Source,
    protocol: Protocol,
    *,
    regions: int,
    buffer: WindowBuffer | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> Validation:
    """Return the loss and counts of the validation cases, without test-time augmentation.

    Slices of the size of the patch are predicted in batches; larger ones and volumes in windows, whose logits are
    averaged. All are scored on the prepared grid. Volumes are predicted in the `buffer`, which saves time where
    the next validation has the same. `on_step` is called after every batch, large slice or volume.
    """
    model.eval()
    if isinstance(source, SliceCrops):
        sums, counts = _validate_large_slices(model, source, protocol, on_step=on_step)
    elif isinstance(source, Slices):
        sums, counts = _validate_slices(model, source, protocol, regions=regions, on_step=on_step)
    else:
        assert isinstance(source, Patches), "no other source has volumes"
        buffer = buffer or WindowBuffer()
        sums, counts = _validate_volumes(model, source, protocol, buffer, on_step=on_step)
    is_partial = any(case.unlabelled_bits for case in source.cases)
    loss = loss_of_cases(protocol.loss, sums, partial=is_partial)
    return Validation(float(loss), counts.cpu().numpy())


def _validate_slices(
    model: nn.Module, slices: Slices, protocol: Protocol, *, regions: int, on_step: Callable[[], None]
) -> tuple[Tensor, Tensor]:
    """Return sums of the loss (N, ...) float64 of each case, or slice, and counts (N, K, 4) of each case."""
    cases = len(slices.cases)
    rows = len(slices) if protocol.loss.per_image else cases
    counts = torch.zeros(cases, counted_classes(protocol, regions), 4, dtype=torch.int64, device=slices.device)
    case_of_slice = slices.case_of.to(slices.device)
    sums: Tensor | None = None
    size = samples_without_gradient(protocol.batch, slices.device)
    for batch in ordered_batches(len(slices), batch=size, device=slices.index_device):
        images, labels = slices.batch(batch)
        labels = slices.mark(labels, batch)
        with autocast(slices.device, protocol.precision):
            logits = forward(model, images)
        numbers = batch.to(slices.device)
        case_of = case_of_slice[numbers]
        slice_sums = loss_sums(protocol.loss, logits, labels).double()
        if sums is None:
            sums = slice_sums.new_zeros(rows, slice_sums.shape[1])
        row_of = numbers if protocol.loss.per_image else case_of
        sums.index_add_(0, row_of, slice_sums)
        counts.index_add_(0, case_of, count_logits(logits, labels, protocol))
        on_step()
    assert sums is not None, "a validation has slices"
    return sums, counts


def _validate_large_slices(
    model: nn.Module, crops: SliceCrops, protocol: Protocol, *, on_step: Callable[[], None]
) -> tuple[Tensor, Tensor]:
    """Return sums of the loss (N, ...) float64 of each case, or slice, and counts (N, K, 4) of each case."""
    sums, counts = [], []
    unlabelled = UnlabelledRegions(crops.cases)
    for case_number, case in enumerate(crops.cases):
        slices = Slices([case], device=crops.device, context=protocol.context)
        slice_sums, slice_counts = [], []
        for number in range(len(slices)):
            images, labels = slices.batch(torch.tensor([number]))
            labels = unlabelled.mark(labels, torch.tensor([case_number]))
            logits = _logits_in_windows(model, images[0], protocol)
            slice_sums.append(loss_sums(protocol.loss, logits, labels).double())
            slice_counts.append(count_logits(logits, labels, protocol))
            on_step()
        of_case = torch.cat(slice_sums)
        sums.append(of_case if protocol.loss.per_image else of_case.sum(0, keepdim=True))
        counts.append(torch.cat(slice_counts).sum(0))
    return torch.cat(sums), torch.stack(counts)


def _validate_volumes(
    model: nn.Module,
    source: Patches,
    protocol: Protocol,
    buffer: WindowBuffer,
    *,
    on_step: Callable[[], None],
) -> tuple[Tensor, Tensor]:
    """Return the sums of the loss (N, ...) float64 and the counts (N, K, 4) of each case."""
    sums, counts = [], []
    unlabelled = UnlabelledRegions(source.cases)
    for number in range(len(source.cases)):
        stored, bits = source.volume(number)
        volume = place_volume(stored, buffer, device=source.device)
        logits = _logits_in_windows(model, to_float(volume), protocol, buffer)
        labels = unlabelled.mark(bits.to(source.device)[None], torch.tensor([number]))
        sums.append(loss_sums(protocol.loss, logits, labels)[0].double())
        counts.append(count_logits(logits, labels, protocol)[0])
        on_step()
    return torch.stack(sums), torch.stack(counts)


def _logits_in_windows(
    model: nn.Module, image: Tensor, protocol: Protocol, buffer: WindowBuffer | None = None
) -> Tensor:
    """Return the logits (1, K, *space) of an image (C, *space) float32; new without a buffer."""
    logits = predict_windows(
        partial(_predict_logits, model, protocol),
        image,
        patch=protocol.patch,
        overlap=protocol.inference.overlap,
        importance=protocol.inference.importance,
        batch=windows_at_once(protocol.batch, image.device),
        buffer=buffer,
    )
    return logits[None]


def _predict_logits(model: nn.Module, protocol: Protocol, images: Tensor) -> Tensor:
    with autocast(images.device, protocol.precision):
        return forward(model, images).float()
