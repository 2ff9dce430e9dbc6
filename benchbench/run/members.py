"""Brings the weights of finished runs back, for their models to predict together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from benchbench.contract import Geometry
from benchbench.engine.inference.predict import Ensemble, Predictor
from benchbench.engine.network.network import place_on
from benchbench.errors import BenchbenchError, IntegrityError
from benchbench.registry.registry import discover
from benchbench.results.record import Record
from benchbench.results.weights import weight_files
from benchbench.run.assignment import Assignment


class MemberError(BenchbenchError):
    """A member of an ensemble that there is nothing of to predict with."""


def read_members(assignment: Assignment) -> list[Record]:
    """The records of an ensemble's members, all of which have ended as they would now.

    Raises:
        MemberError: with every member that has not.
    """
    found = [(member, member.folder.read_record()) for member in assignment.members]
    records = [record for member, record in found if record is not None and member.is_done_by(record)]
    if len(records) < len(found):
        raise MemberError("; ".join(_missing(found)))
    return records


def _missing(found: list[tuple[Assignment, Record | None]]) -> Iterator[str]:
    for member, record in found:
        if record is None:
            yield f"member {member.key} has not been run"
        elif not member.is_done_by(record):
            yield f"member {member.key} {record.status}: {record.reason or 'of other settings or data'}"


def open_members(assignment: Assignment, wanted: Geometry, device: torch.device) -> Ensemble:
    """The members as they were when their checkpoints were chosen.

    Raises:
        MemberError: a member's weights are not there.
        IntegrityError: they are of another run.
    """
    predictors = []
    for member in assignment.members:
        plugin = discover([member.entry_point]).model(member.key.model)
        names = weight_files(member.folder)
        if not names:
            raise MemberError(f"member {member.key}: no best.safetensors in its folder; delete it to run it again")
        models: list[nn.Module] = []
        for name in names:
            model = plugin.build(wanted, **member.model_params)
            model.load_state_dict(_read_weights(member, member.folder.path / name))
            models.append(place_on(model, device))
        predictors.append(Predictor(models, member.protocol, device))
    return Ensemble(predictors)


def _read_weights(member: Assignment, path: Path) -> dict[str, Tensor]:
    with safe_open(path, "pt") as file:
        described = json.loads(file.metadata()["benchbench"])
        if described["digest"] != member.digest:
            raise IntegrityError(
                f"{path.name} of member {member.key} is of digest {described['digest'][:12]}, expected"
                f" {member.digest[:12]}; delete the member's folder to run it again"
            )
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 no mapping
