"""Carries out the run of one model: trains it, selects the checkpoint and scores the test cases.

The test cases are opened only after training has ended, unless the protocol selects the checkpoint on them.
"""

from __future__ import annotations

import contextlib
import copy
import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from benchbench.contract import Geometry
from benchbench.engine.devices.arithmetic import set_arithmetic
from benchbench.engine.devices.distributed import process_group
from benchbench.engine.devices.torchrun import start_processes, this_rank
from benchbench.engine.inference.predict import Predictor
from benchbench.engine.network.network import (
    check_output,
    count_parameters,
    count_parameters_with_statistics,
    move_to_device,
)
from benchbench.engine.preparation.image_facts import image_facts
from benchbench.engine.training.train import DivergedError, Training
from benchbench.records.history import history_digest
from benchbench.records.record import Record, Status
from benchbench.registry.registry import discover
from benchbench.run.assignment import Assignment, Progress, ProgressListener
from benchbench.run.environment import provenance_of
from benchbench.run.network_geometry import describe_ends, geometry_of
from benchbench.run.resumable_training import describe_steps, open_training, save_state, train
from benchbench.run.run_cost import count_network, training_cost
from benchbench.run.scored import score_or_wait
from benchbench.run.seeds import derive_seed
from benchbench.run.stop_request import StoppedError, StopRequest, stop_request


def run_model(assignment: Assignment, report: ProgressListener) -> Record:
    """Train a model, score the test cases with its best checkpoints and return the record.

    If thresholds are chosen over all folds of the row, the record waits for them, and no test case is opened.

    Raises:
        StoppedError: a signal asked this process to stop; the state is saved.
    """
    with stop_request() as stop:
        with contextlib.suppress(ResidentDataError):
            return _train_and_score(assignment, report, stop)
        # here the exception, which held the tensors of the attempt, is gone
        return _train_and_score(without_resident_data(assignment, report), report, stop)


class ResidentDataError(Exception):
    """A run is out of GPU memory while its training cases take a part of it."""


@contextlib.contextmanager
def naming_resident_data(training: Training) -> Iterator[None]:
    """Raise `ResidentDataError` for `OutOfMemoryError` where a run can be repeated with more free memory."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        # several processes would have to agree
        if training.resident_bytes and training.processes.count == 1:
            raise ResidentDataError from error
        raise


def without_resident_data(assignment: Assignment, report: ProgressListener) -> Assignment:
    """Return the run with its cases in the memory of the machine; no number depends on where they are."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    remark = "out of GPU memory; the run was repeated without its training cases on the GPU"
    report(Progress(0, assignment.protocol.epochs, remark=remark))
    settings = replace(assignment.settings, keeps_data_on_gpu=False)
    return replace(assignment, settings=settings, retries=(*assignment.retries, remark))


def _train_and_score(assignment: Assignment, report: ProgressListener, stop: StopRequest) -> Record:
    device = torch.device(assignment.device)
    torch.set_num_threads(assignment.threads)
    set_arithmetic(device, assignment.protocol.precision, deterministic=assignment.settings.deterministic)
    built = geometry_of(assignment)
    model = build_model(assignment, built, device)
    status: Status = "done"
    reason = ""
    with process_group(assignment.protocol.world_size, device) as processes:
        training = open_training(assignment, model, device, processes, report)
        try:
            with naming_resident_data(training):
                train(assignment, training, report, stop)
        except DivergedError as error:
            status = "diverged"
            reason = str(error)
    record = assignment.record(
        status=status,
        reason=reason,
        provenance={
            **provenance_of(assignment),
            "compiled": training.forward.compiled,
            "memory_layout": training.layout,
        },
        seconds=0.0,
        parameters=count_parameters(model),
        parameters_with_statistics=count_parameters_with_statistics(model),
        pretrained=getattr(model, "pretrained", ""),
        pretrained_on=tuple(getattr(model, "pretrained_on", ())),
        epochs=len(training.history),
        best_epoch=training.best_epoch,
        remarks=(*describe_steps(training),),
        images=describe_images(assignment),
        shown={**training.best_scores(), **describe_ends(built)},
        cost={
            **training_cost(assignment, training.spent()),
            "resident_bytes": training.resident_bytes,
            **history_digest(assignment.folder),
        },
    )
    if training.checkpoints and processes.is_first:
        predictor = Predictor(_load_checkpoints(model, training), assignment.protocol, device)
        counted = [count_network(model, built)]
        try:
            stop.raise_at_once()
            with naming_resident_data(training):
                return score_or_wait(record, assignment, predictor, counted, built=built)
        except (StoppedError, KeyboardInterrupt, ResidentDataError):
            save_state(assignment, training)  # of a training that is over: only its checkpoints are needed
            raise
    return record


def describe_images(assignment: Assignment) -> dict[str, Any]:
    """Return the facts about the training images, and the values by which new images are prepared."""
    facts = image_facts(assignment.train)
    statistics = assignment.statistics.content()
    return {**facts, "statistics": statistics} if statistics else facts


def run_model_in_processes(
    assignment: Assignment, report: ProgressListener, *, describe: Callable[[Exception], str]
) -> Record:
    """Train a model in several processes and return the record of the first one.

    Raises:
        ProcessDiedError: a process failed; `describe` gave the reason.
    """
    count = assignment.protocol.world_size
    return start_processes(_run_process, assignment, count=count, on_message=report, describe=describe)


def _run_process(assignment: Assignment, report: ProgressListener) -> Record:
    """Carry out the run as one of its processes."""
    threads = max(1, assignment.threads // assignment.protocol.world_size)
    return run_model(replace(assignment, device=assignment.devices[this_rank()], threads=threads), report)


def build_model(assignment: Assignment, built: Geometry, device: torch.device) -> nn.Module:
    """Return the model of a run with its initial weights."""
    plugin = discover([assignment.entry_point]).model(assignment.plugin)
    torch.manual_seed(derive_seed("weights", assignment.key.seed))
    model = move_to_device(plugin.build(built, **assignment.model_params), device)
    check_output(plugin, model, built, assignment.protocol)
    return model


def _load_checkpoints(model: nn.Module, training: Training) -> list[nn.Module]:
    """Return a model for each checkpoint that training kept; the first is the trained module itself."""
    copies = [copy.deepcopy(model) for _ in training.checkpoints[1:]]
    models = [model, *copies]
    for module, checkpoint in zip(models, training.checkpoints, strict=True):
        module.load_state_dict(checkpoint.weights)
    return models
