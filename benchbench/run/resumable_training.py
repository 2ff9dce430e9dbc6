"""Trains the model of a run step by step, saves what it needs to resume, and writes history and best weights."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchbench.engine.batches.patches import open_source
from benchbench.engine.batches.sampling import batch_sizes
from benchbench.engine.cost.energy import NO_METER, open_meter
from benchbench.engine.devices.distributed import Processes
from benchbench.engine.network.memory_layout import Layout, has_choice_of_layout
from benchbench.engine.network.network import effective_precision
from benchbench.engine.training.train import RESUME_SCHEMA, Training, layout_of_state
from benchbench.errors import IntegrityError
from benchbench.records.events import open_events
from benchbench.records.history import write_history
from benchbench.records.resume import SavedState, read_resume, write_resume
from benchbench.records.run_folder import RESUME_NAME
from benchbench.run.assignment import Assignment, Progress, ProgressListener
from benchbench.run.first_steps import get_steps_ready, resident_share
from benchbench.run.members import weights_name, write_weights
from benchbench.run.seeds import derive_seed
from benchbench.run.stop_request import StoppedError, StopRequest


def open_training(
    assignment: Assignment,
    model: nn.Module,
    device: torch.device,
    processes: Processes,
    report: ProgressListener,
) -> Training:
    """Return a training in its initial state, or as an interrupted run with the same digests has saved it.

    Raises:
        IntegrityError: the saved state has more epochs than the protocol.
    """
    meter = NO_METER
    if processes.is_first:
        meter = open_meter(assignment.devices or [assignment.device])
    saved = processes.broadcast(lambda: read_resume(assignment.folder, resume_tag(assignment)))
    layout: Layout | None = None
    if saved.content is not None and has_choice_of_layout(model, device):
        layout = layout_of_state(saved.content)
    steps = get_steps_ready(assignment, model, device, processes, layout=layout)
    share = partial(resident_share, assignment, steps, device)
    protocol = assignment.protocol
    training = Training(
        model,
        open_source(assignment.train, protocol, device=device, scored_only=True, resident_share=share()),
        open_source(assignment.selection_cases, protocol, device=device, resident_share=share()),
        protocol,
        regions=assignment.regions,
        processes=processes,
        meter=meter,
        forward=steps.forward,
        compile_seconds=steps.compile_seconds,
    )
    problem = _resume(assignment, training, saved)
    if processes.is_first:
        assignment.folder.clear(keep_resume=training.has_progress)
        for remark in filter(None, (steps.forward.remark, problem)):
            report(Progress(0, protocol.epochs, remark=remark))
    if training.history:
        _write_progress(assignment, training)
    return training


def _resume(assignment: Assignment, training: Training, saved: SavedState) -> str:
    """Load the state of an interrupted run; return a sentence if there is one that cannot be used.

    Raises:
        IntegrityError: the state has more epochs than the protocol.
    """
    problem = saved.problem
    if saved.content is not None:
        initial = training.save()
        try:
            training.load(saved.content)
        except Exception as error:  # noqa: BLE001 another version of torch may raise anything
            training.load(initial)
            problem = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
    epochs = assignment.protocol.epochs
    if len(training.history) > epochs:
        path = Path(*assignment.folder.path.parts[-5:]) / RESUME_NAME  # below the results: records name no machine
        raise IntegrityError(
            f"{path}: found {len(training.history)} epochs, expected at most {epochs}; delete it to train from the"
            " start"
        )
    if not problem:
        return ""
    return f"the training starts again, because {RESUME_NAME} cannot be loaded and was deleted ({problem})"


def train(assignment: Assignment, training: Training, report: ProgressListener, stop: StopRequest) -> None:
    """Train until the last epoch or early stopping; the state is saved every `resume_seconds`, and before a stop.

    Raises:
        DivergedError: the loss or a weight became nan or infinite.
        StoppedError: a signal asked for it; the state is saved.
    """
    saver = _Saver(assignment, training, stop)
    if training.processes.is_first:
        _train_and_write(assignment, training, report, saver)
        return
    while not training.is_over:
        _run_epoch(assignment, training, report, saver)


def save_state(assignment: Assignment, training: Training) -> None:
    """Write what the training needs to resume; all of its processes have to call this inside an epoch."""
    state = training.save()
    if training.processes.is_first:
        write_resume(assignment.folder, resume_tag(assignment), state)


class _Saver:
    """Saves the state of a training after a step where it is time to, or where a signal asks to stop."""

    def __init__(self, assignment: Assignment, training: Training, stop: StopRequest) -> None:
        self._assignment = assignment
        self._training = training
        self._stop = stop
        self._saved = time.monotonic()

    def after_step(self) -> None:
        """Save the state if it is time; all processes of a training save after the same step.

        Raises:
            StoppedError: a process has received a signal.
        """
        processes = self._training.processes
        is_due = time.monotonic() - self._saved > self._assignment.settings.resume_seconds
        is_stopping = self._stop.number is not None
        if not processes.any_of(condition=is_due or is_stopping):
            return
        save_state(self._assignment, self._training)
        self._saved = time.monotonic()
        if processes.any_of(condition=is_stopping):
            raise StoppedError(self._stop.number or signal.SIGTERM)

    def after_validation_step(self) -> None:
        """Save the state and stop where a signal asks for it; of several processes only one validates.

        Raises:
            StoppedError: the process has received a signal.
        """
        if self._training.processes.count == 1:
            self.after_step()


def _train_and_write(assignment: Assignment, training: Training, report: ProgressListener, saver: _Saver) -> None:
    with open_events(assignment.folder) as add_event:
        for earlier in training.history:  # a resumed run starts a new event file
            add_event(earlier["epoch"], earlier)
        while not training.is_over:
            row = _run_epoch(assignment, training, report, saver)
            if any(checkpoint.epoch == row["epoch"] for checkpoint in training.checkpoints):
                _write_best_weights(assignment, training)
            write_history(assignment.folder, training.history)
            add_event(row["epoch"], row)
            report(Progress(row["epoch"] + 1, assignment.protocol.epochs, _describe_epoch(row)))
    assert training.checkpoints, "the last epoch is always validated, and the first validation is kept"


def _run_epoch(
    assignment: Assignment, training: Training, report: ProgressListener, saver: _Saver
) -> Mapping[str, Any]:
    """Train one epoch with random draws of its own, so that a resumed run draws the same numbers."""
    epoch = len(training.history)
    place = (assignment.key.seed, assignment.key.fold, epoch)
    rank = training.processes.rank
    dropout_seed = derive_seed("dropout", *place, rank) if rank else derive_seed("dropout", *place)
    torch.manual_seed(dropout_seed)
    generator = torch.Generator().manual_seed(derive_seed("batches", *place))

    def after_step(share: float) -> None:
        report(Progress(epoch + share, assignment.protocol.epochs))
        saver.after_step()

    return training.run_epoch(generator, progress=after_step, on_validation_step=saver.after_validation_step)


def _write_progress(assignment: Assignment, training: Training) -> None:
    """Write weights and history as a saved state has them: `clear` removed those of the interrupted process."""
    _write_best_weights(assignment, training)
    if training.processes.is_first and training.history:
        write_history(assignment.folder, training.history)


def _write_best_weights(assignment: Assignment, training: Training) -> None:
    """Write best.safetensors, and best_2.safetensors and so on if several checkpoints are kept."""
    if not training.processes.is_first:
        return
    model = assignment.plugin
    for rank, checkpoint in enumerate(training.checkpoints, start=1):
        described = {"digest": assignment.digest, "model": model, "epoch": checkpoint.epoch}
        write_weights(assignment.folder, weights_name(rank), checkpoint.weights, described)


def describe_steps(training: Training) -> Iterator[str]:
    """Yield a sentence if the last batch of an epoch was merged into the one before, or steps are not compiled."""
    if training.forward.remark:
        yield training.forward.remark
    protocol = training.protocol
    *_, last = batch_sizes(len(training.train_source), batch=protocol.batch, processes=protocol.world_size)
    rest = last - protocol.batch
    if rest > 0:
        yield (
            f"the last batch of every epoch had {last} samples and not {protocol.batch}, because {rest} left over"
            " would have been too few for batch normalisation"
        )


def resume_tag(assignment: Assignment) -> str:
    """Return text that differs between runs that must not resume from each other's state.

    It has the kind of device but not its number, which changes no result: a run resumes on whichever GPU is free.
    """
    digests = f"{assignment.digest} {assignment.data_digest} {assignment.split_digest}"
    device = torch.device(assignment.device)
    precision = effective_precision(device, assignment.protocol.precision)
    algorithms = "deterministic" if assignment.settings.deterministic else "any"
    if assignment.settings.compile != "off":
        algorithms += f" compile={assignment.settings.compile}"
    return f"{RESUME_SCHEMA} {digests} {device.type} {precision} {algorithms}"


def _describe_epoch(row: Mapping[str, Any]) -> str:
    loss = f"loss {row['train_loss']:.3f}"
    dice = row["validation_dice_case"]
    if dice is None:
        return loss
    return f"{loss}, validation Dice {dice:.3f}"
