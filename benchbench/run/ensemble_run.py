"""Carries out the run of an ensemble: its members predict the test cases together; nothing is trained."""

from __future__ import annotations

import torch

from benchbench.engine.devices.arithmetic import set_arithmetic
from benchbench.engine.preparation.image_facts import image_facts
from benchbench.records.record import Record
from benchbench.run.assignment import Assignment
from benchbench.run.environment import provenance_of
from benchbench.run.members import open_members, read_members
from benchbench.run.network_geometry import describe_ends, geometry_of
from benchbench.run.scored import score_or_wait


def run_ensemble(assignment: Assignment) -> Record:
    """Predict with the saved weights of the members and return the record.

    Raises:
        MemberError: a member has no usable run.
        IntegrityError: the weights of a member are of another run.
    """
    assignment.folder.clear(keep_resume=False)
    device = torch.device(assignment.device)
    torch.set_num_threads(assignment.threads)
    set_arithmetic(device, assignment.protocol.precision, deterministic=assignment.settings.deterministic)
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
    record = assignment.record(
        status="done",
        provenance=provenance_of(assignment),
        seconds=0.0,
        parameters=sum(record.parameters or 0 for record in records),
        parameters_with_statistics=sum(record.parameters_with_statistics or 0 for record in records),
        pretrained=_join_pretrained(records),
        pretrained_on=_join_data_sets(records),
        images=image_facts(assignment.train),
        shown={**describe_ends(built)},
        members=weights,
    )
    counted = [member.cost for member in records]
    return score_or_wait(record, assignment, ensemble, counted, built=built)


def _join_pretrained(records: list[Record]) -> str:
    """Return the different pretrained weights that members started from."""
    names = [record.pretrained for record in records if record.pretrained]
    return ", ".join(dict.fromkeys(names))


def _join_data_sets(records: list[Record]) -> tuple[str, ...]:
    """Return the data sets that the weights of members were trained on."""
    names: dict[str, None] = {}
    for record in records:
        names.update(dict.fromkeys(record.pretrained_on))
    return tuple(names)
