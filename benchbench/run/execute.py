"""Carries out one run: seeds, trains, chooses the checkpoint, scores the test cases, leaves a record.

Runs inside the process that a launcher gives it. The test cases are opened only once training is over.
"""

from __future__ import annotations

import copy
import hashlib
import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from benchbench.contract import Geometry
from benchbench.engine.batches.patches import open_source
from benchbench.engine.cost.energy import NO_METER, open_meter
from benchbench.engine.cost.timing import CaseClock
from benchbench.engine.devices.device import peak_memory_bytes
from benchbench.engine.devices.distributed import Processes, joined, start_processes, this_rank
from benchbench.engine.inference.predict import Ensemble, Predictor
from benchbench.engine.inference.search import Search
from benchbench.engine.network.losses import region_masks
from benchbench.engine.network.network import (
    check_output,
    count_parameters,
    effective_precision,
    geometry,
    place_on,
)
from benchbench.engine.training.train import RESUME_SCHEMA, DivergedError, Training
from benchbench.errors import BenchbenchError
from benchbench.registry.registry import discover
from benchbench.results.events import open_events
from benchbench.results.history import write_history
from benchbench.results.provenance import code_state, machine, versions
from benchbench.results.record import Record
from benchbench.results.resume import read_resume, write_resume
from benchbench.run.assignment import Assignment, Progress, Report
from benchbench.run.evaluate import score_test_cases
from benchbench.run.members import open_members, read_members
from benchbench.run.predictions import export_masks, measure_unmeasured
from benchbench.run.resized_truth import write_ceiling
from benchbench.run.run_cost import count_network, prediction_cost, training_cost
from benchbench.spec.inference import Postprocess

_TABLES = ("cases.parquet", "slices.parquet", "predictions.parquet", "pictures.parquet", "ceiling.parquet")
_RESUME_SECONDS = 60.0
_HELD_SECONDS = 15.0  # how long a dying process may keep a run


def execute(assignment: Assignment, report: Report) -> Record:
    """Carries out a run and writes its record, also when it fails; one that is done is left as it is.

    Raises:
        RunBusyError: another process is at this run.
    """
    began = time.monotonic()
    with assignment.folder.lock(_HELD_SECONDS):
        earlier = assignment.folder.read_record()
        if earlier is not None and assignment.is_done_by(earlier):
            record = measure_unmeasured(assignment, earlier)
            export_masks(assignment, record)
            return record
        assignment.folder.discard("run.json")
        try:
            record = _way_of(assignment)(assignment, report)
        except Exception as error:  # noqa: BLE001 a run that fails is a row with its reason
            traceback.print_exc()
            record = assignment.record(
                status="failed", reason=_reason(error), provenance=_provenance(assignment), seconds=0
            )
        record = replace(record, seconds=time.monotonic() - began)
        assignment.folder.write_record(record)
        export_masks(assignment, record)
        if record.status != "failed":  # what failed for want of memory or disk goes on from where it was
            assignment.folder.discard("resume.pt")
    return record


def derive_seed(*words: object) -> int:
    """A seed for one purpose, the same on every machine."""
    return int.from_bytes(hashlib.sha256(" ".join(map(str, words)).encode()).digest()[:7])


def _way_of(assignment: Assignment) -> Callable[[Assignment, Report], Record]:
    if assignment.members:
        return _execute_ensemble
    return _execute_together if assignment.protocol.world_size > 1 else _execute


def _execute_ensemble(assignment: Assignment, _report: Report) -> Record:
    """Predicts with the weights that its members kept; nothing is trained."""
    assignment.folder.clear(keep_resume=False)
    device = torch.device(assignment.device)
    torch.set_num_threads(assignment.threads)
    weights, records = assignment.member_weights(), read_members(assignment)
    described = {"seconds": 0.0, "members": weights}
    if diverged := [f"member {record.key}: {record.reason}" for record in records if record.status == "diverged"]:
        provenance = _provenance(assignment)
        return assignment.record(status="diverged", reason="; ".join(diverged), provenance=provenance, **described)
    wanted = _geometry(assignment)
    ensemble = open_members(assignment, wanted, device)
    postprocess = _chosen_postprocess(assignment, ensemble)
    clock = CaseClock(device)
    shown = {**_network_values(wanted), **score_test_cases(assignment, ensemble, postprocess, clock=clock)}
    write_ceiling(assignment)
    return assignment.record(
        status="done",
        provenance=_provenance(assignment),  # before costs are measured, which takes memory as well
        parameters=sum(record.parameters or 0 for record in records),
        pretrained=", ".join(dict.fromkeys(record.pretrained for record in records if record.pretrained)),
        shown=shown,
        cost=prediction_cost(
            assignment,
            ensemble.members,
            [record.cost for record in records],
            channels=wanted.in_channels,
            clock=clock,
        ),
        postprocess=postprocess.model_dump(mode="json") if postprocess else None,
        files=assignment.folder.digests(_TABLES),
        **described,
    )


def _execute_together(assignment: Assignment, report: Report) -> Record:
    """A run of several processes; its record is the first one's."""
    count = assignment.protocol.world_size
    return start_processes(_execute_part, assignment, count=count, hear=report, describe=_reason)


def _execute_part(assignment: Assignment, report: Report) -> Record:
    """What one of several processes does."""
    threads = max(1, assignment.threads // assignment.protocol.world_size)
    return _execute(replace(assignment, device=assignment.devices[this_rank()], threads=threads), report)


def _execute(assignment: Assignment, report: Report) -> Record:
    device = torch.device(assignment.device)
    torch.set_num_threads(assignment.threads)
    plugin = discover([assignment.entry_point]).model(assignment.key.model)
    wanted = _geometry(assignment)
    torch.manual_seed(derive_seed("weights", assignment.key.seed))
    model = place_on(plugin.build(wanted, **assignment.model_params), device)
    check_output(plugin, model, wanted, assignment.protocol)
    status, reason = "done", ""
    with joined(assignment.protocol.world_size, device) as processes:
        training = _training(assignment, model, device, processes)
        try:
            _train(assignment, training, report)
        except DivergedError as error:
            status, reason = "diverged", str(error)
    postprocess, shown = None, {**training.values(), **_network_values(wanted)}
    cost, provenance = training_cost(assignment, training.spent()), _provenance(assignment)
    scored = bool(training.kept) and processes.is_first
    if scored:
        predictor, clock = Predictor(_checkpoints(model, training), assignment.protocol, device), CaseClock(device)
        postprocess = _chosen_postprocess(assignment, predictor)
        shown |= score_test_cases(assignment, predictor, postprocess, clock=clock)
        write_ceiling(assignment)
        provenance = _provenance(assignment)  # again: the memory of predicting, and not that of measuring costs
        counted = [count_network(model, wanted)]
        cost |= prediction_cost(assignment, [predictor], counted, channels=wanted.in_channels, clock=clock)
    return assignment.record(
        status=status,
        reason=reason,
        provenance=provenance,
        seconds=0.0,
        parameters=count_parameters(model),
        pretrained=getattr(model, "pretrained", ""),
        epochs=len(training.history),
        best_epoch=training.best_epoch,
        shown=shown,
        cost=cost,
        postprocess=postprocess.model_dump(mode="json") if postprocess else None,
        files=assignment.folder.digests(_TABLES) if scored else {},
    )


def _geometry(assignment: Assignment) -> Geometry:
    channels = len(assignment.channels) + assignment.protocol.one_hot_foreground
    return geometry(assignment.protocol, channels=channels, regions=len(assignment.regions))


def _training(assignment: Assignment, model: nn.Module, device: torch.device, processes: Processes) -> Training:
    """A training from its beginning, or from where an interrupted one of the same digests left off."""
    training = Training(
        model,
        open_source(assignment.train, assignment.protocol, device=device),
        open_source(assignment.chosen_on, assignment.protocol, device=device),
        assignment.protocol,
        regions=assignment.regions,
        processes=processes,
        meter=open_meter(assignment.devices or [assignment.device]) if processes.is_first else NO_METER,
    )
    saved = processes.told_by_first(lambda: read_resume(assignment.folder, _resume_tag(assignment)))
    if processes.is_first:
        assignment.folder.clear(keep_resume=saved is not None)
    if saved is not None:
        training.load(saved)
        _keep(assignment, training)
    return training


def _train(assignment: Assignment, training: Training, report: Report) -> None:
    if not training.processes.is_first:
        while not training.is_over:
            _run_epoch(assignment, training, report)
        return
    saved = time.monotonic()
    with open_events(assignment.folder) as events:
        for earlier in training.history:  # a run that goes on has a new file
            events(earlier["epoch"], earlier)
        while not training.is_over:
            row = _run_epoch(assignment, training, report)
            if any(checkpoint.epoch == row["epoch"] for checkpoint in training.kept):
                _keep(assignment, training)
            write_history(assignment.folder, training.history)
            events(row["epoch"], row)
            report(Progress(row["epoch"] + 1, assignment.protocol.epochs, _note(row)))
            if time.monotonic() - saved > _RESUME_SECONDS:
                write_resume(assignment.folder, _resume_tag(assignment), training.save())
                saved = time.monotonic()
    if not training.kept:
        raise DivergedError("no epoch was good enough to keep")


def _run_epoch(assignment: Assignment, training: Training, report: Report) -> Mapping[str, Any]:
    """One epoch, with random streams of its own: it does not matter where a run was interrupted."""
    epoch = len(training.history)
    place = (assignment.key.seed, assignment.key.fold, epoch)
    rank = training.processes.rank
    torch.manual_seed(derive_seed("dropout", *place, *([rank] if rank else [])))
    generator = torch.Generator().manual_seed(derive_seed("batches", *place))

    def progress(share: float) -> None:
        report(Progress(epoch + share, assignment.protocol.epochs))

    return training.run_epoch(generator, progress=progress)


def _keep(assignment: Assignment, training: Training) -> None:
    """Writes the best weights so far: best.safetensors, and best_2.safetensors where two are kept."""
    if not training.processes.is_first:
        return
    for rank, checkpoint in enumerate(training.kept, start=1):
        described = {"digest": assignment.digest, "model": assignment.key.model, "epoch": checkpoint.epoch}
        weights = {name: tensor.contiguous() for name, tensor in checkpoint.weights.items()}
        # one entry: safetensors writes several in an order of chance, and the same run should leave the same bytes
        content = save(weights, metadata={"benchbench": json.dumps(described)})
        assignment.folder.write("best.safetensors" if rank == 1 else f"best_{rank}.safetensors", content)


def _checkpoints(model: nn.Module, training: Training) -> list[nn.Module]:
    """A model for each checkpoint that was kept; the first is the one that was trained."""
    models = [model, *(copy.deepcopy(model) for _ in training.kept[1:])]
    for each, checkpoint in zip(models, training.kept, strict=True):
        each.load_state_dict(checkpoint.weights)
    return models


def _chosen_postprocess(assignment: Assignment, predictor: Predictor | Ensemble) -> Postprocess | None:
    """The protocol's rules, with thresholds and sizes from the inner validation where it says so."""
    rules = assignment.protocol.postprocess
    if rules is None or not rules.search:
        return rules
    with Search(rules, assignment.regions) as search:
        for prepared in assignment.validation:
            bits = torch.from_numpy(prepared.frame.crop(prepared.native_label()))
            truth = region_masks(bits[None], len(assignment.regions))[0].numpy()
            search.add(predictor.probabilities(prepared).cpu().numpy(), truth)
        return search.best()


def _network_values(wanted: Geometry) -> dict[str, float | str | None]:
    """What goes into the network and what comes out, as 256x256x3."""
    ends = {"input": wanted.in_channels, "output": wanted.out_channels}
    return {name: "x".join(map(str, (*wanted.patch, channels))) for name, channels in ends.items()}


def _resume_tag(assignment: Assignment) -> str:
    digests = f"{assignment.digest} {assignment.data_digest} {assignment.split_digest}"
    return f"{RESUME_SCHEMA} {digests} {assignment.device}"


def _note(row: Mapping[str, Any]) -> str:
    dice = row["validation_dice_case"]
    return f"loss {row['train_loss']:.3f}" + ("" if dice is None else f", validation Dice {dice:.3f}")


def _reason(error: Exception) -> str:
    if isinstance(error, BenchbenchError):
        return str(error)
    first = str(error).strip().splitlines()[:1]
    return f"{type(error).__name__}: {first[0] if first else 'no message'} (worker.log has the rest)"


def _provenance(assignment: Assignment) -> dict[str, Any]:
    device = torch.device(assignment.device)
    used: dict[str, Any] = {
        "device": assignment.device,
        "world_size": assignment.protocol.world_size,
        "threads": assignment.threads,
        "precision": effective_precision(device, assignment.protocol.precision),
        "peak_memory_bytes": peak_memory_bytes(device),
    }
    if device.type == "cuda":
        used |= {"name": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    seeds = {"seed": assignment.key.seed, "weights": derive_seed("weights", assignment.key.seed)}
    return {"code": code_state(), "versions": versions(), "machine": machine(), **used, "seeds": seeds}
