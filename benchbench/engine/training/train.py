"""The training loop: one epoch after another, each followed by the inner validation."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchbench.engine.augmentation.augment import augment
from benchbench.engine.batches.sampling import Source, epoch_order
from benchbench.engine.cost.energy import NO_METER, EnergyMeter
from benchbench.engine.devices.distributed import ALONE, Part, Processes
from benchbench.engine.inference.counting import count_predicted, counted
from benchbench.engine.network.network import forward_with_loss
from benchbench.engine.training.optimise import build_optimizer, learning_rate
from benchbench.engine.training.validate import validate
from benchbench.metrics.class_scores import BACKGROUND, class_scores
from benchbench.metrics.scores import METRICS, Counts, overlap
from benchbench.spec.protocol import Protocol

RESUME_SCHEMA = 2
"""Raised whenever a state is saved otherwise: an older one is not gone on from."""

Row = dict[str, Any]
"""A line of history.csv; None where an epoch was not validated."""


class DivergedError(Exception):
    """The loss or a weight is no number any more."""


class Checkpoint(NamedTuple):
    """Weights that the inner validation chose."""

    epoch: int
    value: float
    """Of what selects; the larger the better."""
    weights: dict[str, Tensor]


class Training:
    """A model under training; all that an epoch changes, and what it has shown so far.

    An epoch depends on the state before it and on its generator alone, so a training resumed from a saved
    state goes on as if it had never stopped.
    """

    def __init__(
        self,
        model: nn.Module,
        train: Source,
        validation: Source,
        protocol: Protocol,
        *,
        regions: Sequence[str],
        processes: Processes = ALONE,
        meter: EnergyMeter = NO_METER,
    ) -> None:
        self.model = model
        self.train_source = train
        self.validation_source = validation
        self.protocol = protocol
        self.region_names = tuple(regions)
        self.regions = len(regions)
        self.processes = processes
        """That train the model together; each has the same state."""
        self.meter = meter
        self.device = train.device
        self.history: list[Row] = []
        self.kept: list[Checkpoint] = []
        """The best checkpoints, best first; of equals the earlier."""
        self._optimizer = build_optimizer(protocol.optimizer, model.parameters())
        self._loss_of = processes.joint(model, self._compute_loss)
        scaled = protocol.precision == "fp16" and self.device.type == "cuda"
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)

    def run_epoch(self, generator: torch.Generator, *, progress: Callable[[float], None]) -> Row:
        """Trains on every sample once, validates if it is time, and returns the new line of the history.

        `progress` hears the share of the epoch that is over.

        Raises:
            DivergedError: the state is of no more use; the best weights so far are.
        """
        began, used_before = time.monotonic(), self.meter.watt_hours()
        train_loss, train_counts = self._fit(generator, progress)
        if not math.isfinite(train_loss):
            raise DivergedError(f"training loss became {train_loss} in epoch {len(self.history)}")
        row = {
            "epoch": len(self.history),
            "lr": self._optimizer.param_groups[0]["lr"],
            "train_loss": train_loss,
            **self.processes.told_by_first(self._validated),
            **self._scores("train", "pooled", train_counts[None]),
            "energy_wh": _difference(self.meter.watt_hours(), used_before),
            "seconds": time.monotonic() - began,
        }
        self._remember(row)
        return row

    @property
    def best_epoch(self) -> int | None:
        return self.kept[0].epoch if self.kept else None

    @property
    def is_over(self) -> bool:
        """Whether the epochs are used up or early stopping ends the run."""
        trained, stopping = len(self.history), self.protocol.early_stopping
        return trained >= self.protocol.epochs or (
            stopping is not None and trained > 0 and self._epochs_without_gain > stopping.patience
        )

    @property
    def _epochs_without_gain(self) -> int:
        return self.history[-1]["epoch"] - (self.best_epoch or 0)

    def save(self) -> bytes:
        """Everything that the next epoch depends on."""
        content = io.BytesIO()
        state = {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "history": self.history,
            "kept": [tuple(checkpoint) for checkpoint in self.kept],
        }
        torch.save(state, content)
        return content.getvalue()

    def load(self, content: bytes) -> None:
        """Goes on from a saved state."""
        state = torch.load(io.BytesIO(content), map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self.history, self.kept = state["history"], [Checkpoint(*each) for each in state["kept"]]

    def _fit(self, generator: torch.Generator, progress: Callable[[float], None]) -> tuple[float, np.ndarray]:
        self.model.train()
        batches = list(epoch_order(len(self.train_source), batch=self.protocol.batch, generator=generator))
        # summed on the device and read once: a read waits for the device
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        counts = torch.zeros(counted(self.protocol, self.regions), 4, dtype=torch.int64, device=self.device)
        for number, chosen in enumerate(batches):
            self._set_learning_rate(len(self.history) * len(batches) + number, len(batches))
            part = self.processes.part(len(chosen))
            images, labels = self.train_source.batch(chosen, generator=generator, part=part)
            # a batch of patches is nobody else's
            images, labels = augment(
                images,
                labels,
                self.protocol.augment,
                generator=generator,
                in_place=self.protocol.ndim == 3,
                part=part,
            )
            loss, logits = self._step(images, labels, part)
            total += loss * part.counted
            found = count_predicted(logits, labels, self.protocol, regions=self.regions)
            counts += found[: part.counted].sum(0)
            progress((number + 1) / len(batches))
        total, counts = self.processes.sum(total), self.processes.sum(counts)
        return float(total) / len(self.train_source), counts.cpu().numpy()

    def _compute_loss(self, images: Tensor, labels: Tensor, part: Part) -> tuple[Tensor, Tensor]:
        loss, logits = forward_with_loss(
            self.model,
            images,
            labels,
            self.protocol,
            regions=self.regions,
            summed=partial(self.processes.sum_over_batch, part),
        )
        return loss, logits.detach()

    def _step(self, images: Tensor, labels: Tensor, part: Part) -> tuple[Tensor, Tensor]:
        loss, logits = self._loss_of(images, labels, part)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss * self.processes.weight(part)).backward()
        if self.protocol.gradient_clip is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.protocol.gradient_clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return loss.detach(), logits

    def _validated(self) -> Row:
        """What the inner validation says, after the last epoch and every so many before."""
        trained = len(self.history) + 1
        if trained % self.protocol.validate_every and trained < self.protocol.epochs:
            unknown = np.ones((1, counted(self.protocol, self.regions), 4), dtype=np.int64)
            return dict.fromkeys(["validation_loss", *self._validation_scores(unknown)])
        loss, counts = validate(self.model, self.validation_source, self.protocol, regions=self.regions)
        return {"validation_loss": loss, **self._validation_scores(counts)}

    def _validation_scores(self, counts: np.ndarray) -> Row:
        pooled = self._scores("validation", "pooled", counts.sum(0, keepdims=True))
        return {**pooled, **self._scores("validation", "case", counts)}

    def _scores(self, part: str, aggregate: str, counts: np.ndarray) -> Row:
        """Mean over cases, then over regions; Dice of each of several regions; of classes where they are counted.

        counts (N, K, 4), or (N, 1 + K, 4) with background first.
        """
        parts = Counts(*np.moveaxis(counts[:, -self.regions :], -1, 0))
        values = {metric: overlap(metric, parts, empty=self.protocol.empty) for metric in METRICS}
        scores = {f"{part}_{metric}_{aggregate}": _mean(value) for metric, value in values.items()}
        if self.regions > 1:
            named = zip(self.region_names, values["dice"].T, strict=True)
            scores |= {f"{part}_dice_{aggregate}:{name}": _mean(value) for name, value in named}
        if aggregate == "pooled" and counts.shape[1] > self.regions:
            scores |= class_scores(counts.sum(0), (BACKGROUND, *self.region_names), part=part)
        return scores

    def values(self) -> Mapping[str, float | None]:
        """What the history says of the epoch that was chosen, apart from when and how long."""
        if self.best_epoch is None:
            return {}
        row = self.history[self.best_epoch]
        return {name: value for name, value in row.items() if name.startswith(("train_", "validation_"))}

    def spent(self) -> dict[str, float | None]:
        """Seconds and watt-hours of all epochs together, those before an interruption included."""
        known = [row["energy_wh"] for row in self.history if row["energy_wh"] is not None]
        return {
            "train_seconds": float(sum(row["seconds"] for row in self.history)),
            "energy_wh": sum(known) if known and len(known) == len(self.history) else None,
        }

    def _remember(self, row: Row) -> None:
        """Adds a line to the history, and the weights to what is kept if they are among the best."""
        select = self.protocol.select
        found = row["validation_loss" if select == "loss" else f"validation_{select}_case"]
        row["is_best"] = 0
        if found is not None:
            value = -found if select == "loss" else found
            row["is_best"] = int(self._keep(row["epoch"], -math.inf if math.isnan(value) else value))
        self.history.append(row)
        if self.protocol.early_stopping is not None:
            row["epochs_without_gain"] = self._epochs_without_gain

    def _keep(self, epoch: int, value: float) -> bool:
        """Keeps the weights if fewer than `keep` are better or equal; whether they are the best."""
        rank = sum(each.value >= value for each in self.kept)
        if rank >= self.protocol.keep:
            return False
        state = self.model.state_dict()
        # the first process's running statistics are its own
        if not self.processes.told_by_first(
            lambda: all(bool(torch.isfinite(each).all()) for each in state.values())
        ):
            raise DivergedError(f"a weight became nan or infinite in epoch {epoch}")
        weights = {name: tensor.detach().clone() for name, tensor in state.items()}
        self.kept.insert(rank, Checkpoint(epoch, value, weights))
        del self.kept[self.protocol.keep :]
        return rank == 0

    def _set_learning_rate(self, step: int, steps_per_epoch: int) -> None:
        rate = learning_rate(
            self.protocol.schedule,
            self.protocol.optimizer.lr,
            step=step,
            steps_per_epoch=steps_per_epoch,
            epochs=self.protocol.epochs,
            validation_losses=[
                row["validation_loss"] for row in self.history if row["validation_loss"] is not None
            ],
        )
        for group in self._optimizer.param_groups:
            group["lr"] = rate


def _mean(values: np.ndarray) -> float:
    """Mean of what is defined; nan where nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else math.nan


def _difference(value: float | None, before: float | None) -> float | None:
    return None if value is None or before is None else value - before
