"""Scores the test cases with the weights of the best trial of a tuned run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

import torch

from benchbench.engine.devices.arithmetic import set_arithmetic
from benchbench.engine.network.network import count_parameters, count_parameters_with_statistics
from benchbench.engine.training.forward import Compiled, choose_compiled
from benchbench.errors import IntegrityError
from benchbench.records.history import HISTORY_NAME, history_digest
from benchbench.records.record import Record
from benchbench.records.run_folder import RunFolder
from benchbench.records.weights import trial_folder, weight_files
from benchbench.run.assignment import Assignment
from benchbench.run.environment import provenance_of
from benchbench.run.members import open_saved, read_weights, weights_name, write_weights
from benchbench.run.model_run import describe_images
from benchbench.run.network_geometry import describe_ends, geometry_of
from benchbench.run.run_cost import count_network, training_cost
from benchbench.run.scored import score_or_wait
from benchbench.run.trial_journal import Trial
from benchbench.spec.tuning import MODEL


def score_best(assignment: Assignment, trials: Sequence[Trial], best: Trial) -> Record:
    """Score the test cases with the weights of the best trial, which become those of the run."""
    folder = folder_of(assignment.folder, best)
    device = torch.device(assignment.device)
    copy_weights(assignment, assignment.folder, best, first_rank=1)
    assignment.folder.write(HISTORY_NAME, (folder.path / HISTORY_NAME).read_bytes())
    torch.set_num_threads(assignment.threads)
    set_arithmetic(device, assignment.protocol.precision, deterministic=assignment.settings.deterministic)
    built = geometry_of(assignment)
    predictor = open_saved(assignment, built, device, layout=best.memory_layout)
    model = predictor.models[0]
    record = assignment.record(
        status="done",
        provenance={
            **provenance_of(assignment),
            "compiled": _compiled(assignment, best, device),
            "memory_layout": best.memory_layout,
        },
        seconds=0.0,
        parameters=count_parameters(model),
        parameters_with_statistics=count_parameters_with_statistics(model),
        pretrained=getattr(model, "pretrained", ""),
        pretrained_on=tuple(getattr(model, "pretrained_on", ())),
        epochs=best.epochs,
        best_epoch=best.best_epoch,
        images=describe_images(assignment),
        shown={**best.scores, **describe_ends(built)},
        cost={**training_cost(assignment, _spent(trials)), **history_digest(assignment.folder)},
        tuning=_describe_tuning(assignment, trials, best),
    )
    return score_or_wait(record, assignment, predictor, [count_network(model, built)], built=built)


def copy_weights(assignment: Assignment, source: RunFolder, trial: Trial, *, first_rank: int) -> int:
    """Copy the weights of a trial of the run in `source` as those of a run, and return the next free rank.

    Raises:
        IntegrityError: there are none.
    """
    folder = folder_of(source, trial)
    if not weight_files(folder):
        raise IntegrityError(
            f"{folder.path.name} of {assignment.key}: no weights; delete the tuned run to repeat it"
        )
    rank = first_rank
    for name in weight_files(folder):
        described = {
            "digest": assignment.digest,
            "model": assignment.plugin,
            "trial": trial.number,
            "params": model_params_of(trial),
        }
        weights = read_weights(folder.path / name, key=assignment.key, digest=None).weights
        write_weights(assignment.folder, weights_name(rank), weights, described)
        rank += 1
    return rank


def _spent(trials: Sequence[Trial]) -> dict[str, float | None]:
    """Return the sum of what all trials have spent; None where one was not measured."""
    spent: dict[str, float | None] = {}
    for name in ("train_seconds", "train_cpu_seconds", "compile_seconds", "energy_wh"):
        values = [trial.spent.get(name) for trial in trials if trial.spent]
        known = [value for value in values if value is not None]
        spent[name] = sum(known) if known and len(known) == len(values) else None
    return spent


def _compiled(assignment: Assignment, trial: Trial, device: torch.device) -> Compiled:
    if trial.spent.get("compile_seconds") is None:
        return "off"
    return choose_compiled(assignment.settings.compile, assignment.protocol, device)


def _describe_tuning(assignment: Assignment, trials: Sequence[Trial], best: Trial) -> dict[str, Any]:
    assert assignment.tuning is not None
    return {
        "budget": assignment.tuning.budget,
        "sampler": assignment.tuning.sampler,
        "optuna": version("optuna"),
        "chosen": best.number,
        "trials": [asdict(trial) for trial in trials],
    }


def folder_of(run: RunFolder, trial: Trial) -> RunFolder:
    """Return the folder of a trial of a run."""
    return replace(run, path=run.path / trial_folder(trial.number))


def changes_of(trial: Trial) -> Mapping[str, Any]:
    """Return the settings of a trial that differ from the file: none of the first."""
    return trial.settings if trial.number else {}


def model_params_of(trial: Trial) -> dict[str, Any]:
    """Return the parameters of the model that a trial changes."""
    changes = changes_of(trial).items()
    return {path.removeprefix(MODEL): value for path, value in changes if path.startswith(MODEL)}
