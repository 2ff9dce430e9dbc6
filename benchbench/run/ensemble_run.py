"""Carries out the run of an ensemble: its members predict the test cases together; nothing is trained."""

from __future__ import annotations

import torch

from benchbench.results.record import Record
from benchbench.run.assignment import Assignment
from benchbench.run.environment import provenance_of
from benchbench.run.evaluate import SCORED_FILES, evaluate
from benchbench.run.members import open_members, read_members
from benchbench.run.network_geometry import describe_ends, geometry_of
from benchbench.run.run_cost import prediction_cost


def run_ensemble(assignment: Assignment) -> Record:
    """Predict with the saved weights of the members and return the record.

    Raises:
        MemberError: a member has no usable run.
        IntegrityError: the weights of a member are of another run.
    """
    assignment.folder.clear(keep_resume=False)
    device = torch.device(assignment.device)
    torch.set_num_threads(assignment.threads)
    weights = assignment.member_weights()
    records = read_members(assignment)
    diverged = [f"member {record.key}: {record.reason}" for record in records if record.status == "diverged"]
    if diverged:
        return assignment.record(
            status="diverged",
            reason="; ".join(diverged),
            provenance=provenance_of(assignment),
            seconds=0.0,
            members=weights,
        )
    built = geometry_of(assignment)
    ensemble = open_members(assignment, built, device)
    evaluation = evaluate(assignment, ensemble, device)
    provenance = provenance_of(assignment)  # before the cost is measured, which takes memory as well
    cost = prediction_cost(
        assignment,
        ensemble.members,
        [record.cost for record in records],
        channels=built.in_channels,
        clock=evaluation.clock,
    )
    return assignment.record(
        status="done",
        provenance=provenance,
        seconds=0.0,
        parameters=sum(record.parameters or 0 for record in records),
        parameters_with_statistics=sum(record.parameters_with_statistics or 0 for record in records),
        pretrained=_join_pretrained(records),
        shown={**describe_ends(built), **evaluation.class_scores},
        cost=cost,
        postprocess=evaluation.dump_postprocess(),
        files=assignment.folder.digests(SCORED_FILES),
        members=weights,
    )


def _join_pretrained(records: list[Record]) -> str:
    """Return the different pretrained weights that members started from."""
    names = [record.pretrained for record in records if record.pretrained]
    return ", ".join(dict.fromkeys(names))
