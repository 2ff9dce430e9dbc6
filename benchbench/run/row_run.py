"""Carries out a run whose thresholds are chosen over all folds of its row: training, then scoring.

A run that is trained waits, with its weights and the candidates of its inner validation, until those of the other
folds are there. Whichever process continues it then needs no training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from benchbench.engine.inference.predict import Ensemble, Predictor
from benchbench.records.record import Record
from benchbench.records.run_folder import CANDIDATES_NAME
from benchbench.records.weights import is_weight_file
from benchbench.run.assignment import Assignment
from benchbench.run.members import open_members, open_network, read_members
from benchbench.run.network_geometry import geometry_of
from benchbench.run.run_cost import count_network
from benchbench.run.scored import add_scores
from benchbench.run.threshold_search import search_over_folds

Trainer = Callable[[], Record]
"""Trains the run and returns its record, which waits unless the training diverged."""


def carry_out_in_row(assignment: Assignment, trained: Record | None, train: Trainer) -> Record:
    """Return the record of the run: scored if all folds of the row are trained, else waiting.

    `trained` is the record of an earlier process that has trained it.

    Raises:
        IntegrityError: weights or candidates were changed since they were written.
    """
    if trained is None:
        trained = train()
    assignment.folder.write_record(trained)  # a process that dies while it scores leaves a trained run
    if trained.status != "waiting":
        return trained
    awaited = assignment.awaited_folds()
    if awaited:
        return replace(trained, reason=_describe_wait(awaited))
    return _score(assignment, trained)


def without_scores(record: Record) -> Record:
    """Return the record of a run that was scored, or waits, as it was after its training."""
    remaining = [name for name in record.files if name == CANDIDATES_NAME or is_weight_file(name)]
    files = {name: record.files[name] for name in remaining}
    return replace(record, status="waiting", reason="", postprocess=None, searched={}, files=files)


def _describe_wait(folds: list[int]) -> str:
    names = ", ".join(str(fold) for fold in folds)
    noun = "fold" if len(folds) == 1 else "folds"
    return f"trained; thresholds are chosen over all folds, and {noun} {names} must be trained first"


def _score(assignment: Assignment, trained: Record) -> Record:
    device = torch.device(assignment.device)
    torch.set_num_threads(assignment.threads)
    built = geometry_of(assignment)
    predictor: Predictor | Ensemble
    counted: list[Mapping[str, Any]]
    if assignment.members and assignment.tuning is None:
        counted = [member.cost for member in read_members(assignment)]
        predictor = open_members(assignment, built, device)
    else:
        predictor = open_network(assignment, built, device)
        counted = [count_network(predictor.models[0], built)]
    rules, searched = search_over_folds(assignment)
    record = add_scores(trained, assignment, predictor, counted, built=built, rules=rules)
    return replace(record, status="done", reason="", searched=searched)
