"""One optimiser step: forward, loss, backward and update of the weights."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from benchbench.engine.devices.distributed import ALONE, Part, Processes, whole_batch
from benchbench.engine.training.forward import ForwardPass, LossAndCounts
from benchbench.engine.training.optimise import build_optimizer


class Step:
    """Updates the weights of a network; it has the optimiser and the scale of the loss."""

    def __init__(
        self, model: nn.Module, forward: ForwardPass, *, device: torch.device, processes: Processes = ALONE
    ) -> None:
        self.model = model
        self.forward = forward
        self.processes = processes
        protocol = self.protocol = forward.protocol
        self.optimizer = build_optimizer(protocol.optimizer, model.parameters())
        scales_loss = protocol.precision == "fp16" and device.type == "cuda"
        self.scaler = torch.amp.GradScaler(device.type, enabled=scales_loss)
        self._parallel = processes.parallel(model, self._compute)

    def __call__(self, images: Tensor, labels: Tensor, part: Part) -> LossAndCounts:
        """Take a step with a part of a batch; return the loss, without gradient, and the counts of its samples."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.protocol.accumulate == 1:
            loss, counts = self._parallel(images, labels, part)
            weight = self.processes.weight(part)
            self.scaler.scale(loss if weight == 1 else loss * weight).backward()
        else:
            loss, counts = self._accumulate(images, labels)
        if self.protocol.gradient_clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.protocol.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return LossAndCounts(loss.detach(), counts)

    def set_learning_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _compute(self, images: Tensor, labels: Tensor, part: Part) -> LossAndCounts:
        sum_over_batch = partial(self.processes.sum_over_batch, part)
        return self.forward(self.model, images, labels, sum_over_batch=sum_over_batch)

    def _accumulate(self, images: Tensor, labels: Tensor) -> LossAndCounts:
        """Add up the gradients of the parts of a batch; return the mean of their losses, and all counts."""
        losses: list[Tensor] = []
        counts: list[Tensor] = []
        parts = min(self.protocol.accumulate, len(images))
        for some_images, some_labels in zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True):
            loss, some_counts = self._compute(some_images, some_labels, whole_batch(len(some_images)))
            share = len(some_images) / len(images)
            self.scaler.scale(loss * share).backward()
            losses.append(loss.detach() * share)
            counts.append(some_counts)
        return LossAndCounts(torch.stack(losses).sum(), torch.cat(counts))
