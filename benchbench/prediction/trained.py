"""A trained network, or several, rebuilt from the records of finished runs and from the installed plugins."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchbench.contract import DatasetPlugin, Geometry, ModelPlugin, Task
from benchbench.engine.devices.arithmetic import set_arithmetic
from benchbench.engine.inference.postprocess import THRESHOLD
from benchbench.engine.inference.predict import Ensemble, Predictor
from benchbench.engine.network.network import geometry_for, move_to_device
from benchbench.engine.preparation.image_facts import merged_facts
from benchbench.engine.preparation.statistics import Statistics, read_statistics
from benchbench.errors import IntegrityError, PluginError, UsageError
from benchbench.plan.run import Chosen
from benchbench.prediction.runs import FinishedRun, members_of
from benchbench.records.split import read_split
from benchbench.records.weights import weight_files
from benchbench.registry.faults import plugin_faults, task_of
from benchbench.registry.parameters import check_params, resolve_params
from benchbench.registry.registry import Registry
from benchbench.registry.sources import source_digest
from benchbench.run.members import read_weights
from benchbench.spec.inference import Postprocess
from benchbench.spec.protocol import Protocol


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Everything that predicting a case needs."""

    dataset: DatasetPlugin
    dataset_params: Mapping[str, Any]
    task: Task
    protocol: Protocol
    predictors: Mapping[Statistics, Predictor | Ensemble]
    """Values of a training part -> the networks that predict images which are prepared by them."""
    postprocess: Postprocess | None
    image_facts: Mapping[str, Any]
    """Voxel sizes and orientations of the training images; {} if a record does not have them."""
    part_of_case: Mapping[str, str]
    """Case that was used for training or for the choice of a checkpoint -> its part in words."""
    remarks: tuple[str, ...]
    """Lines that a user should read before using the predictions."""


def open_trained(runs: Sequence[FinishedRun], registry: Registry, device: torch.device) -> Trained:
    """Rebuild the plugins and networks of runs of one row, which predict together.

    Raises:
        PluginError: a plugin is missing, or cannot be opened with the recorded parameters.
        UsageError: a run has no weights.
        IntegrityError: weights were changed, or the runs have different protocols.
    """
    first = runs[0].record
    protocol = _protocol_of(runs)
    set_arithmetic(device, protocol.precision, deterministic=False)
    dataset = _dataset_of(runs[0], registry)
    params = _params(dataset.name, dataset.open, first.resolved["dataset"]["params"])
    task = task_of(dataset, params)
    members: list[FinishedRun] = []
    for run in runs:
        members += members_of(run)
    built = geometry_for(protocol, channels=len(task.channels), regions=len(task.regions))
    predictors: dict[Statistics, list[Predictor]] = {}
    for member in members:
        models = _open_models(member, registry.model(member.record.resolved["model"]["name"]), built, device)
        learnt = read_statistics(member.record.images.get("statistics", {}))
        predictors.setdefault(learnt, []).append(Predictor(models, protocol, device))
    return Trained(
        dataset=dataset,
        dataset_params=params,
        task=task,
        protocol=protocol,
        predictors={learnt: _together(group) for learnt, group in predictors.items()},
        postprocess=merged_postprocess([_postprocess_of(run) for run in runs], tuple(task.regions)),
        image_facts=merged_facts([member.record.images for member in members]),
        part_of_case=_parts(runs),
        remarks=tuple(dict.fromkeys(_remarks(runs, members, registry))),
    )


def _together(predictors: Sequence[Predictor]) -> Predictor | Ensemble:
    return predictors[0] if len(predictors) == 1 else Ensemble(predictors)


def merged_postprocess(rules: Sequence[Postprocess | None], regions: Sequence[str]) -> Postprocess | None:
    """Return the rules of several folds as one: mean thresholds, and the medians of sizes, rounded to voxels.

    A search can choose other thresholds and sizes in every fold; all other settings are those of the protocol.
    """
    chosen = [rule for rule in rules if rule is not None]
    if not chosen:
        return None
    first = chosen[0]
    if all(rule == first for rule in chosen):
        return first
    thresholds: dict[str, float] = {}
    components: dict[str, int] = {}
    totals: dict[str, int] = {}
    for region in regions:
        thresholds[region] = statistics.fmean(rule.thresholds.get(region, THRESHOLD) for rule in chosen)
        components[region] = round(statistics.median(rule.components.get(region, 0) for rule in chosen))
        totals[region] = round(statistics.median(rule.totals.get(region, 0) for rule in chosen))
    return first.model_copy(update={"thresholds": thresholds, "components": components, "totals": totals})


def _protocol_of(runs: Sequence[FinishedRun]) -> Protocol:
    protocols = [run.record.resolved["protocol"] for run in runs]
    if any(protocol != protocols[0] for protocol in protocols):
        raise IntegrityError(
            f"{runs[0].results.path}: found runs of one row with different protocols; run it again"
        )
    return Protocol.model_validate_json(json.dumps(protocols[0]))


def _postprocess_of(run: FinishedRun) -> Postprocess | None:
    if run.record.postprocess is None:
        return None
    return Postprocess.model_validate_json(json.dumps(dict(run.record.postprocess)))


def _params(name: str, factory: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    problems = check_params(factory, params)
    if problems:
        key, message = problems[0]
        raise PluginError(
            f"{name}: the installed plugin does not take the parameters of the record: {key}: {message}; install"
            " the version that the run used"
        )
    return resolve_params(factory, params)


def _open_models(run: FinishedRun, plugin: ModelPlugin, built: Geometry, device: torch.device) -> list[nn.Module]:
    names = weight_files(run.folder)
    if not names:
        raise UsageError(f"{run.folder.path}: no best.safetensors in this folder; run the benchmark again")
    params = _params(plugin.name, plugin.build, run.record.resolved["model"]["params"])
    models: list[nn.Module] = []
    for name in names:
        run.folder.verify(name, run.record)
        saved = read_weights(run.folder.path / name, key=run.record.key, digest=run.record.digest)
        own_params = _params(plugin.name, plugin.build, {**params, **saved.params}) if saved.params else params
        with plugin_faults(plugin.name, "build()", PluginError):
            model = plugin.build(built, **own_params)
        try:
            model.load_state_dict(saved.weights)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise PluginError(
                f"{run.folder.path / name}: does not fit the network of the installed plugin ({reason}); install"
                " the version that the run used"
            ) from error
        models.append(move_to_device(model, device).eval())
    return models


def _dataset_of(run: FinishedRun, registry: Registry) -> DatasetPlugin:
    return registry.named_dataset(Chosen(**run.record.resolved["dataset"]))


def _parts(runs: Sequence[FinishedRun]) -> dict[str, str]:
    """Return the cases that were not tested in every one of the runs, with the first part that they had."""
    words = {"train": "trained on", "validation": "used to choose the checkpoint"}
    parts: dict[str, str] = {}
    for run in runs:
        if run.record.resolved["phantom"]:  # some phantoms have the names of patients
            continue
        for line in read_split(run.folder, run.record):
            if line["part"] in words:
                parts.setdefault(str(line["case"]), f"{words[str(line['part'])]} in fold {line['fold']}")
    return parts


def _remarks(runs: Sequence[FinishedRun], members: Sequence[FinishedRun], registry: Registry) -> Iterator[str]:
    for run in runs:
        if run.record.resolved["phantom"]:
            yield "the network was trained on phantom data: its predictions mean nothing on patients"
        plugin = _dataset_of(run, registry)
        yield from _source_remarks(plugin.name, source_digest(plugin.open), run.record.resolved["dataset"])
    for member in members:
        model = registry.model(member.record.resolved["model"]["name"])
        present = source_digest(model.build, needs=model.needs)
        yield from _source_remarks(model.name, present, member.record.resolved["model"])
        if not member.record.images:
            yield (
                f"{member.record.key}: its record has no voxel sizes and orientations of the training images; new"
                " images are not compared with them"
            )


def _source_remarks(name: str, present: str, recorded: Mapping[str, Any]) -> Iterator[str]:
    expected = recorded["source_digest"]
    if present != expected:
        yield (
            f"{name}: the source of the installed plugin has digest {present[:12]}, that of the run"
            f" {expected[:12]}: predictions may differ from those of the run"
        )
