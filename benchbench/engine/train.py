"""The training loop: one epoch after another, each followed by the inner validation."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchbench.engine.augment import augment
from benchbench.engine.losses import compute_loss, predicted_masks, region_masks
from benchbench.engine.network import autocast, forward, forward_with_loss
from benchbench.engine.optimise import build_optimizer, learning_rate
from benchbench.engine.sampling import Slices, epoch_order, in_order
from benchbench.metrics import METRICS, Counts, overlap
from benchbench.protocol import Protocol

Row = dict[str, Any]
"""A line of history.csv."""


class DivergedError(Exception):
    """The loss or a weight is no number any more."""


class Training:
    """A model under training; all that an epoch changes, and what it has shown so far.

    An epoch depends on the state before it and on its generator alone, so a training resumed from a saved
    state goes on as if it had never stopped.
    """

    def __init__(
        self, model: nn.Module, train: Slices, validation: Slices, protocol: Protocol, *, regions: int
    ) -> None:
        self.model = model
        self.train_slices = train
        self.validation_slices = validation
        self.protocol = protocol
        self.regions = regions
        self.device = train.device
        self.history: list[Row] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch: int | None = None
        self._optimizer = build_optimizer(protocol.optimizer, model.parameters())
        scaled = protocol.precision == "fp16" and self.device.type == "cuda"
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)

    def run_epoch(self, generator: torch.Generator, *, progress: Callable[[float], None]) -> Row:
        """Trains on every slice once, validates, and returns the new line of the history.

        `progress` hears the share of the epoch that is over.

        Raises:
            DivergedError: the state is of no more use; the best weights so far are.
        """
        began = time.monotonic()
        train_loss, train_counts = self._fit(generator, progress)
        if not math.isfinite(train_loss):
            raise DivergedError(f"training loss became {train_loss} in epoch {len(self.history)}")
        validation_loss, case_counts = self._validate()
        row = {
            "epoch": len(self.history),
            "lr": self._optimizer.param_groups[0]["lr"],
            "train_loss": train_loss,
            "validation_loss": validation_loss,
            **self._scores("train", "pooled", train_counts[None]),
            **self._scores("validation", "pooled", case_counts.sum(0, keepdims=True)),
            **self._scores("validation", "case", case_counts),
            "seconds": time.monotonic() - began,
        }
        self._remember(row)
        return row

    @property
    def is_over(self) -> bool:
        """Whether the epochs are used up or early stopping ends the run."""
        trained, stopping = len(self.history), self.protocol.early_stopping
        waited = trained - 1 - (self.best_epoch or 0)
        return trained >= self.protocol.epochs or (
            stopping is not None and trained > 0 and waited > stopping.patience
        )

    def save(self) -> bytes:
        """Everything that the next epoch depends on."""
        content = io.BytesIO()
        state = {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "history": self.history,
            "best": self.best,
            "best_epoch": self.best_epoch,
        }
        torch.save(state, content)
        return content.getvalue()

    def load(self, content: bytes) -> None:
        """Goes on from a saved state."""
        state = torch.load(io.BytesIO(content), map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self.history, self.best, self.best_epoch = state["history"], state["best"], state["best_epoch"]

    def _fit(self, generator: torch.Generator, progress: Callable[[float], None]) -> tuple[float, np.ndarray]:
        self.model.train()
        batches = list(epoch_order(len(self.train_slices), batch=self.protocol.batch, generator=generator))
        # summed on the device and read once: a read waits for the device
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        counts = torch.zeros(self.regions, 4, dtype=torch.int64, device=self.device)
        for number, chosen in enumerate(batches):
            self._set_learning_rate(len(self.history) * len(batches) + number, len(batches))
            images, labels = self.train_slices.batch(chosen)
            images, labels = augment(images, labels, self.protocol.augment, generator=generator)
            loss, logits = self._step(images, labels)
            total += loss * len(chosen)
            counts += self._count(logits, labels).sum(0)
            progress((number + 1) / len(batches))
        return float(total) / len(self.train_slices), counts.cpu().numpy()

    def _step(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        loss, logits = forward_with_loss(self.model, images, labels, self.protocol, regions=self.regions)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        if self.protocol.gradient_clip is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.protocol.gradient_clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return loss.detach(), logits.detach()

    @torch.inference_mode()
    def _validate(self) -> tuple[float, np.ndarray]:
        self.model.eval()
        slices = self.validation_slices
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        counts = torch.zeros(len(slices.cases), self.regions, 4, dtype=torch.int64, device=self.device)
        for chosen in in_order(len(slices), batch=self.protocol.batch):
            images, labels = slices.batch(chosen)
            with autocast(self.device, self.protocol.precision):
                logits = forward(self.model, images)
            total += compute_loss(self.protocol.loss, logits, labels) * len(chosen)
            counts.index_add_(0, slices.case_of[chosen].to(self.device), self._count(logits, labels))
        return float(total) / len(slices), counts.cpu().numpy()

    def _count(self, logits: Tensor, labels: Tensor) -> Tensor:
        """tp, fp, fn, tn of each slice and region, (B, K, 4)."""
        predicted = predicted_masks(logits, self.protocol.activation)
        return count_voxels(region_masks(labels, self.regions), predicted)

    def _scores(self, part: str, aggregate: str, counts: np.ndarray) -> Row:
        """Mean over cases, then over regions; counts (N, K, 4)."""
        parts = Counts(*np.moveaxis(counts, -1, 0))
        values = {metric: overlap(metric, parts, empty=self.protocol.empty) for metric in METRICS}
        return {f"{part}_{metric}_{aggregate}": _mean(value) for metric, value in values.items()}

    def _remember(self, row: Row) -> None:
        select = self.protocol.select
        column = "validation_loss" if select == "loss" else f"validation_{select}_case"
        sign = -1 if select == "loss" else 1
        earlier = [sign * past[column] for past in self.history if past["is_best"]]
        value = sign * row[column]
        is_best = not earlier or value > earlier[-1] or math.isnan(earlier[-1])
        row["is_best"] = int(is_best)
        self.history.append(row)
        if is_best:
            state = self.model.state_dict()
            if not all(torch.isfinite(tensor).all() for tensor in state.values()):
                self.history.pop()
                raise DivergedError(f"a weight became nan or infinite in epoch {len(self.history)}")
            self.best = {name: tensor.detach().clone() for name, tensor in state.items()}
            self.best_epoch = row["epoch"]

    def _set_learning_rate(self, step: int, steps_per_epoch: int) -> None:
        rate = learning_rate(
            self.protocol.schedule,
            self.protocol.optimizer.lr,
            step=step,
            steps_per_epoch=steps_per_epoch,
            epochs=self.protocol.epochs,
            validation_losses=[row["validation_loss"] for row in self.history],
        )
        for group in self._optimizer.param_groups:
            group["lr"] = rate


def count_voxels(reference: Tensor, predicted: Tensor) -> Tensor:
    """tp, fp, fn, tn of each slice and region: two bool (B, K, *space) -> int64 (B, K, 4)."""
    axes = tuple(range(2, reference.ndim))
    tp = (reference & predicted).sum(axes)
    positive, found = reference.sum(axes), predicted.sum(axes)
    voxels = math.prod(reference.shape[2:])
    return torch.stack([tp, found - tp, positive - tp, voxels - positive - found + tp], -1)


def _mean(values: np.ndarray) -> float:
    """Mean of what is defined; nan where nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else math.nan
