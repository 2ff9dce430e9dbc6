"""Loads the weights of finished runs, so that their models predict together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from benchbench.contract import Geometry
from benchbench.engine.inference.predict import Ensemble, Predictor
from benchbench.engine.network.memory_layout import Layout, has_choice_of_layout, to_channels_last_3d
from benchbench.engine.network.network import move_to_device
from benchbench.errors import BenchbenchError, IntegrityError
from benchbench.plan.run import RunKey
from benchbench.records.record import Record
from benchbench.records.run_folder import RunFolder
from benchbench.records.weights import weight_files
from benchbench.registry.parameters import resolve_params
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
    if not weight_files(member.folder):
        raise MemberError(f"member {member.key}: no best.safetensors in its folder; delete it to run it again")
    record = member.folder.read_record()
    assert record is not None, "a run without one is refused before"
    member.folder.verify_all(record)
    return open_saved(member, built, device, layout=record.provenance.get("memory_layout", "contiguous"))


def open_saved(
    assignment: Assignment, built: Geometry, device: torch.device, *, layout: Layout = "contiguous"
) -> Predictor:
    """Return the model of a run with the checkpoints that its folder has.

    `layout` is the memory layout that the model was trained in; a CPU computes volumes in the contiguous one.

    Raises:
        IntegrityError: the weights are of another run.
    """
    plugin = discover([assignment.entry_point]).model(assignment.plugin)
    models: list[nn.Module] = []
    for name in weight_files(assignment.folder):
        saved = read_weights(assignment.folder.path / name, key=assignment.key, digest=assignment.digest)
        params = assignment.model_params
        if saved.params:
            params = resolve_params(plugin.build, {**params, **saved.params})
        model = plugin.build(built, **params)
        model.load_state_dict(saved.weights)
        model = move_to_device(model, device)
        if layout == "channels_last_3d" and has_choice_of_layout(model, device):
            to_channels_last_3d(model)
        models.append(model)
    return Predictor(models, assignment.protocol, device)


class SavedWeights(NamedTuple):
    """The content of a file of weights."""

    weights: dict[str, Tensor]
    params: Mapping[str, Any]
    """Parameters of the model that trials chose, other than those of the file."""


def read_weights(path: Path, *, key: RunKey, digest: str | None) -> SavedWeights:
    """Return the weights of a file of a run, of any digest if that is None.

    Raises:
        IntegrityError: the file has the digest of another run.
    """
    with safe_open(path, "pt") as file:
        described = json.loads(file.metadata()["benchbench"])
        if digest is not None and described["digest"] != digest:
            raise IntegrityError(
                f"{path.name} of {key} has digest {described['digest'][:12]}, expected"
                f" {digest[:12]}; delete the folder of the run to run it again"
            )
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 it is not a mapping
        return SavedWeights(weights, described.get("params", {}))


def write_weights(
    folder: RunFolder, name: str, weights: Mapping[str, Tensor], described: Mapping[str, Any]
) -> None:
    """Write weights and a description, which has at least the digest of the run."""
    # one entry: safetensors writes several in random order, and equal runs should give equal bytes
    metadata = {"benchbench": json.dumps(described)}
    content = save({key: tensor.contiguous() for key, tensor in weights.items()}, metadata=metadata)
    folder.write(name, content)


def weights_name(rank: int) -> str:
    """Return the name of the file of a checkpoint, which has rank 1 if it is the best."""
    return "best.safetensors" if rank == 1 else f"best_{rank}.safetensors"
