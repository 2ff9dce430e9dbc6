"""Loads the weights of finished runs, so that their models predict together."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from benchbench.contract import Geometry
from benchbench.engine.inference.predict import Ensemble, Predictor
from benchbench.engine.network.network import move_to_device
from benchbench.errors import BenchbenchError, IntegrityError
from benchbench.records.record import Record
from benchbench.records.weights import weight_files
from benchbench.registry.registry import discover
from benchbench.run.assignment import Assignment


class MemberError(BenchbenchError):
    """A member of an ensemble has no run or no weights that it can predict with."""


def read_members(assignment: Assignment) -> list[Record]:
    """Return the records of an ensemble's members.

    Raises:
        MemberError: with every member that is not done with the present settings and data.
    """
    records: list[Record] = []
    problems: list[str] = []
    for member in assignment.members:
        record = member.folder.read_record()
        if record is None:
            problems.append(f"member {member.key} has not been run")
        elif not member.is_done_by(record):
            reason = record.reason or "has other settings or data"
            problems.append(f"member {member.key} {record.status}: {reason}")
        else:
            records.append(record)
    if problems:
        raise MemberError("; ".join(problems))
    return records


def open_members(assignment: Assignment, built: Geometry, device: torch.device) -> Ensemble:
    """Return the models of the members with their selected checkpoints.

    Raises:
        MemberError: a member has no weights.
        IntegrityError: the weights of a member are of another run.
    """
    return Ensemble([open_network(member, built, device) for member in assignment.members])


def open_network(member: Assignment, built: Geometry, device: torch.device) -> Predictor:
    """Return the model of a finished run with its selected checkpoints.

    Raises:
        MemberError: the run has no weights.
        IntegrityError: a file of the run was changed, or the weights are of another run.
    """
    plugin = discover([member.entry_point]).model(member.plugin)
    names = weight_files(member.folder)
    if not names:
        raise MemberError(f"member {member.key}: no best.safetensors in its folder; delete it to run it again")
    record = member.folder.read_record()
    assert record is not None, "a run without one is refused before"
    member.folder.verify_all(record)
    models: list[nn.Module] = []
    for name in names:
        model = plugin.build(built, **member.model_params)
        model.load_state_dict(read_weights(member.folder.path / name, record))
        models.append(move_to_device(model, device))
    return Predictor(models, member.protocol, device)


def read_weights(path: Path, record: Record) -> dict[str, Tensor]:
    """Return the weights of a file of a run.

    Raises:
        IntegrityError: the file has the digest of another run.
    """
    with safe_open(path, "pt") as file:
        described = json.loads(file.metadata()["benchbench"])
        if described["digest"] != record.digest:
            raise IntegrityError(
                f"{path.name} of {record.key} has digest {described['digest'][:12]}, expected"
                f" {record.digest[:12]}; delete the folder of the run to run it again"
            )
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 it is not a mapping
