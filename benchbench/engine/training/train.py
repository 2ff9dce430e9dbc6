"""The training loop: one epoch after another, each followed by the inner validation.

A loop of its own, because Lightning's Trainer and MONAI's engines add 0.1 to 0.7 ms to every step, and because an
epoch here depends on nothing but the saved state and its own generator.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchbench.engine.augmentation.augment import augment
from benchbench.engine.batches.sampling import Source, shuffled_batches
from benchbench.engine.cost.energy import NO_METER, EnergyMeter
from benchbench.engine.devices.distributed import ALONE, Processes
from benchbench.engine.inference.counting import counted_classes
from benchbench.engine.inference.window_buffer import WindowBuffer
from benchbench.engine.network.memory_layout import Layout, layout_of
from benchbench.engine.training.forward import ForwardPass
from benchbench.engine.training.history import Row, training_row, unknown_validation_row, validation_row
from benchbench.engine.training.optimise import learning_rate
from benchbench.engine.training.partial_epoch import EpochClock, PartialEpoch
from benchbench.engine.training.step import Step
from benchbench.engine.training.validate import validate
from benchbench.engine.training.weight_average import WeightAverage
from benchbench.images.arrays import Integers
from benchbench.spec.protocol import Protocol

RESUME_SCHEMA = 3
"""Version of the saved state; a run does not resume from a state of another version."""


class DivergedError(Exception):
    """The loss or a weight became nan or infinite."""


class Checkpoint(NamedTuple):
    """Weights that the inner validation selected."""

    epoch: int
    value: float
    """Value of the selection measure; larger is better."""
    weights: dict[str, Tensor]


class Training:
    """A model in training: all that a step changes, and the history so far.

    A step depends only on the state before it and on the generator of its epoch, so a training resumed from a
    saved state gives the same result as one without interruption.
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
        forward: ForwardPass | None = None,
        compile_seconds: float = 0.0,
    ) -> None:
        self.model = model
        self.train_source = train
        self.validation_source = validation
        self.protocol = protocol
        self.regions = tuple(regions)
        self.processes = processes
        """The processes that train the model together; all have the same state."""
        self.meter = meter
        self.device = train.device
        self.compile_seconds = compile_seconds
        """Time that was spent on compiling, also before an interruption."""
        self.history: list[Row] = []
        self.checkpoints: list[Checkpoint] = []
        """The best checkpoints, best first; among equals the earlier is first."""
        self._epoch: PartialEpoch | None = None
        """The epoch that is under way; None between two epochs."""
        self._saved_epoch: Mapping[str, Any] | None = None
        """The loaded state of an epoch that was interrupted; None where the training continues with a new one."""
        self._classes = counted_classes(protocol, len(regions))
        self._window_buffer = WindowBuffer()
        self._average = None if protocol.ema is None else WeightAverage(model, decay=protocol.ema)
        self._steps_per_epoch = 0
        forward = forward or ForwardPass(protocol, regions=len(regions), processes=processes)
        self._step = Step(model, forward, device=self.device, processes=processes)

    def run_epoch(
        self,
        generator: torch.Generator,
        *,
        progress: Callable[[float], None],
        on_validation_step: Callable[[], None] = lambda: None,
    ) -> Row:
        """Train on every sample once, validate if it is time, and return the new row of the history.

        `progress` is called after every step with the share of the epoch that is done, and `on_validation_step`
        after every batch or case of the validation; both may save the state. After a state of an interrupted epoch
        was loaded, only the rest of that epoch is trained; `generator` must have the same seed as then.

        Raises:
            DivergedError: the state is of no further use; the checkpoints so far are.
        """
        clock = EpochClock(self.meter)
        train_loss, train_counts = self._train_epoch(generator, clock, progress)
        if not math.isfinite(train_loss):
            raise DivergedError(f"training loss became {train_loss} in epoch {len(self.history)}")
        row = {
            "epoch": len(self.history),
            "lr": self._step.optimizer.param_groups[0]["lr"],
            "train_loss": train_loss,
        }
        with self._averaged():
            row |= self.processes.broadcast(partial(self._validate, on_validation_step))
            row |= training_row(train_counts, self.regions, empty=self.protocol.empty)
            row |= clock.spent()
            self._finish_epoch(row)
        self._epoch = None
        return row

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        """Return a block in which the model has the average of its weights, if the protocol asks for one."""
        return contextlib.nullcontext() if self._average is None else self._average.in_place_of(self.model)

    @property
    def forward(self) -> ForwardPass:
        """The forward pass of the steps; a state of steps that were compiled otherwise is not loaded."""
        return self._step.forward

    @property
    def layout(self) -> Layout:
        """The memory layout of the weights; a state of another layout is not loaded."""
        return layout_of(self.model)

    @property
    def best_epoch(self) -> int | None:
        """The epoch of the best checkpoint; None before the first."""
        return self.checkpoints[0].epoch if self.checkpoints else None

    @property
    def resident_bytes(self) -> int:
        """GPU memory of the cases that stay there for the whole training."""
        return self.train_source.resident_bytes + self.validation_source.resident_bytes

    @property
    def is_over(self) -> bool:
        """True after the last epoch, or where early stopping ends the run."""
        trained, stopping = len(self.history), self.protocol.early_stopping
        if trained >= self.protocol.epochs:
            return True
        return stopping is not None and self._validations_without_gain >= stopping.patience

    @property
    def _validations_without_gain(self) -> int:
        """The number of inner validations since the best one."""
        if self.best_epoch is None:
            return 0
        later = self.history[self.best_epoch + 1 :]
        return sum(self._selection_value(row) is not None for row in later)

    def save(self) -> bytes:
        """Return everything that the next step depends on.

        All processes of a training have to call this inside an epoch.
        """
        content = io.BytesIO()
        partial_epoch = self._saved_epoch
        if self._epoch is not None:
            partial_epoch = self._epoch.save(self.processes)
        state = {
            "model": self.model.state_dict(),
            "optimizer": self._step.optimizer.state_dict(),
            "scaler": self._step.scaler.state_dict(),
            "history": self.history,
            "kept": [tuple(checkpoint) for checkpoint in self.checkpoints],
            "epoch": partial_epoch,
            "memory_layout": self.layout,
        }
        if self.forward.compiled != "off":
            state["compiled"] = self.forward.compiled
            state["compile_seconds"] = self.compile_seconds if self.has_progress else 0.0
        if self._average is not None:
            state["average"] = self._average.weights
            state["model"] |= self._average.replaced  # inside of a validation, the model has the average
        torch.save(state, content)
        return content.getvalue()

    def load(self, content: bytes) -> None:
        """Continue from a saved state; any exception means that it is none of this network and version."""
        state = torch.load(io.BytesIO(content), map_location=self.device, weights_only=True)
        compiled = state.get("compiled", "off")
        if compiled != self.forward.compiled:
            raise ValueError(f"compilation of its steps: {compiled}; of those to come: {self.forward.compiled}")
        layout = state.get("memory_layout", self.layout)
        if layout != self.layout:
            raise ValueError(f"memory layout of its weights: {layout}; of the network: {self.layout}")
        self.model.load_state_dict(state["model"])
        self._step.optimizer.load_state_dict(state["optimizer"])
        self._step.scaler.load_state_dict(state["scaler"])
        if self._average is not None:
            self._average.load(state["average"])
        history, checkpoints = state["history"], [Checkpoint(*fields) for fields in state["kept"]]
        if [row["epoch"] for row in history] != list(range(len(history))):
            raise ValueError("the epochs of the history are not consecutive")
        self.history, self.checkpoints = history, checkpoints
        self._saved_epoch = state["epoch"]
        self.compile_seconds += state.get("compile_seconds", 0.0)

    def best_scores(self) -> Mapping[str, float | None]:
        """Return the losses and scores of the best epoch; nothing where there is none."""
        if self.best_epoch is None:
            return {}
        row = self.history[self.best_epoch]
        return {name: value for name, value in row.items() if name.startswith(("train_", "validation_"))}

    def spent(self) -> dict[str, float | None]:
        """Return seconds and watt-hours of all epochs, including those before an interruption.

        `train_cpu_seconds` is the time of the processor in the first process, summed over its threads.
        """
        seconds = sum(row["seconds"] for row in self.history)
        cpu_seconds = sum(row["cpu_seconds"] for row in self.history)
        energies = [row["energy_wh"] for row in self.history]
        energy_wh = None
        if energies and None not in energies:
            energy_wh = sum(energies)
        return {
            "train_seconds": float(seconds),
            "train_cpu_seconds": float(cpu_seconds),
            "energy_wh": energy_wh,
            "compile_seconds": None if self.forward.compiled == "off" else self.compile_seconds,
        }

    @property
    def has_progress(self) -> bool:
        """True if at least one step was taken, by this process or before an interruption."""
        return bool(self.history) or self._epoch is not None or self._saved_epoch is not None

    def _train_epoch(
        self, generator: torch.Generator, clock: EpochClock, progress: Callable[[float], None]
    ) -> tuple[float, Integers]:
        """Train on the samples that are left; return the mean loss and counts (K, 4) or (1 + K, 4) of all."""
        self.model.train()
        batches = list(
            shuffled_batches(
                len(self.train_source),
                batch=self.protocol.batch,
                generator=generator,
                processes=self.protocol.world_size,
                device=self.train_source.index_device,
            )
        )
        # summed on the device and read once, because a read waits for the device
        epoch = PartialEpoch(
            generator,
            loss=torch.zeros((), dtype=torch.float64, device=self.device),
            counts=torch.zeros(self._classes, 4, dtype=torch.int64, device=self.device),
            clock=clock,
        )
        if self._saved_epoch is not None:
            epoch.load(self._saved_epoch, self.processes)
            self._saved_epoch = None
        self._epoch = epoch
        self._steps_per_epoch = len(batches)
        validation_losses = self._validation_losses()
        for numbers in batches[epoch.steps :]:
            step = len(self.history) * len(batches) + epoch.steps
            self._set_learning_rate(step, validation_losses, steps_per_epoch=len(batches))
            self._train_batch(numbers, epoch)
            epoch.steps += 1
            progress(epoch.steps / len(batches))
        total = self.processes.all_reduce(epoch.loss)
        counts = self.processes.all_reduce(epoch.counts)
        return float(total) / len(self.train_source), counts.cpu().numpy()

    def _train_batch(self, numbers: Tensor, epoch: PartialEpoch) -> None:
        """Take an optimiser step with the samples of these numbers, and add its loss and counts to the epoch."""
        part = self.processes.part(len(numbers))
        images, labels = self.train_source.batch(numbers, generator=epoch.generator, part=part)
        images, labels = augment(
            images,
            labels,
            self.protocol.augment,
            generator=epoch.generator,
            in_place=True,  # a batch is a copy already
            part=part,
        )
        labels = self.train_source.mark(labels, numbers, part=part)
        loss, counts = self._step(images, labels, part)
        if self._average is not None:
            trained = len(self.history) * self._steps_per_epoch + epoch.steps
            self._average.update(self.model, steps=trained)
        epoch.loss += loss * part.counted
        epoch.counts += counts[: part.counted].sum(0)

    def _validate(self, on_step: Callable[[], None]) -> Row:
        """Return the inner validation of this epoch; all None where the protocol leaves it out."""
        trained = len(self.history) + 1
        if trained % self.protocol.validate_every and trained < self.protocol.epochs:
            return unknown_validation_row(self._classes, self.regions, empty=self.protocol.empty)
        validation = validate(
            self.model,
            self.validation_source,
            self.protocol,
            regions=len(self.regions),
            buffer=self._window_buffer,
            on_step=on_step,
        )
        return validation_row(validation, self.regions, empty=self.protocol.empty)

    def _finish_epoch(self, row: Row) -> None:
        """Add a row to the history, and the weights to the checkpoints if they are among the best."""
        value = self._selection_value(row)
        is_best = value is not None and self._keep_if_good(row["epoch"], value)
        row["is_best"] = int(is_best)
        self.history.append(row)
        if self.protocol.early_stopping is not None:
            row["validations_without_gain"] = self._validations_without_gain

    def _selection_value(self, row: Row) -> float | None:
        """Return the value that selects checkpoints, larger is better; None where an epoch was not validated."""
        if self.protocol.select == "loss":
            measure, sign = row["validation_loss"], -1
        else:
            measure, sign = row[f"validation_{self.protocol.select}_case"], 1
        if measure is None:
            return None
        if math.isnan(measure):
            return -math.inf
        return float(sign * measure)

    def _keep_if_good(self, epoch: int, value: float) -> bool:
        """Keep the weights unless `keep` checkpoints are better or equal; return True if they are the best."""
        rank = sum(checkpoint.value >= value for checkpoint in self.checkpoints)
        if rank >= self.protocol.keep:
            return False
        weights = self.model.state_dict()
        # on the first process, because running statistics differ between processes
        if not self.processes.broadcast(lambda: _are_finite(weights)):
            raise DivergedError(f"a weight became nan or infinite in epoch {epoch}")
        copies = {name: tensor.detach().clone() for name, tensor in weights.items()}
        self.checkpoints.insert(rank, Checkpoint(epoch, value, copies))
        del self.checkpoints[self.protocol.keep :]
        return rank == 0

    def _validation_losses(self) -> list[float]:
        """Return the loss of each inner validation so far."""
        losses = [row["validation_loss"] for row in self.history]
        return [loss for loss in losses if loss is not None]

    def _set_learning_rate(self, step: int, validation_losses: Sequence[float], *, steps_per_epoch: int) -> None:
        rate = learning_rate(
            self.protocol.schedule,
            self.protocol.optimizer.lr,
            step=step,
            steps_per_epoch=steps_per_epoch,
            epochs=self.protocol.epochs,
            validation_losses=validation_losses,
        )
        self._step.set_learning_rate(rate)


def layout_of_state(content: bytes) -> Layout | None:
    """Return the memory layout of the weights of a saved state of volumes; None if the state cannot be read."""
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # noqa: BLE001 another version of torch may raise anything
        return None
    layout: Layout = state.get("memory_layout", "contiguous")
    return layout


def _are_finite(weights: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())
