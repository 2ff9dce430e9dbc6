"""Carries out the run of a tuned model whose best trials predict together; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from benchbench.engine.devices.arithmetic import set_arithmetic
from benchbench.engine.network.network import count_parameters, count_parameters_with_statistics
from benchbench.records.record import Record
from benchbench.run.assignment import Assignment
from benchbench.run.environment import provenance_of
from benchbench.run.members import open_saved, read_members
from benchbench.run.network_geometry import describe_ends, geometry_of
from benchbench.run.run_cost import count_network
from benchbench.run.scored import score_or_wait
from benchbench.run.trial_journal import Trial, ranked
from benchbench.run.tuned_weights import copy_weights


def run_tuned_ensemble(assignment: Assignment) -> Record:
    """Predict with the weights of the best trials of the tuned run, and return the record.

    Raises:
        MemberError: the tuned run is not done.
        IntegrityError: weights of a trial are missing.
    """
    assert assignment.tuning is not None
    assignment.folder.clear(keep_resume=False)
    device = torch.device(assignment.device)
    torch.set_num_threads(assignment.threads)
    set_arithmetic(device, assignment.protocol.precision, deterministic=assignment.settings.deterministic)
    (tuned,) = read_members(assignment)
    best = _best_trials(tuned, assignment.tuning.ensemble)
    rank = 1
    for trial in best:
        rank = copy_weights(assignment, assignment.members[0].folder, trial, first_rank=rank)
    built = geometry_of(assignment)
    predictor = open_saved(assignment, built, device)
    record = assignment.record(
        status="done",
        provenance=provenance_of(assignment),
        seconds=0.0,
        parameters=sum(map(count_parameters, predictor.models)),
        parameters_with_statistics=sum(map(count_parameters_with_statistics, predictor.models)),
        pretrained=tuned.pretrained,
        pretrained_on=tuned.pretrained_on,
        images=tuned.images,
        shown={**describe_ends(built)},
        members=assignment.member_weights(),
        tuning={**tuned.tuning, "chosen": [trial.number for trial in best], "trials": []},
    )
    counted = [count_network(predictor.models[0], built)]
    return score_or_wait(record, assignment, predictor, counted, built=built)


def _best_trials(tuned: Record, most: int) -> Sequence[Trial]:
    trials = [Trial(**fields) for fields in tuned.tuning["trials"]]
    return ranked(trials)[:most]
