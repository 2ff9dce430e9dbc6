"""What only the engine knows to be impossible, told before anything runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchbench.contract import Geometry, ModelPlugin
from benchbench.engine.augmentation.augment import check_patch
from benchbench.engine.augmentation.host_augment import check_albumentations
from benchbench.engine.network.network import geometry
from benchbench.errors import IncompatibleError, SpecError
from benchbench.plan.run import Run
from benchbench.registry.registry import Registry
from benchbench.spec.augmentation import Albumentations
from benchbench.spec.benchmark import Benchmark


def check_steps(benchmark: Benchmark) -> None:
    """Refuses augmentation steps that would fail once a run is under way.

    Raises:
        SpecError: with every such step, and why.
    """
    problems: dict[str, None] = {}
    for variant in benchmark.variants:
        protocol = variant.protocol
        place = benchmark.document.where(("protocol", "augment"))
        found = check_patch(protocol.augment, protocol.patch)
        for step in protocol.augment:
            if isinstance(step, Albumentations):
                found += check_albumentations(step)
        problems.update(dict.fromkeys(f"{place}: protocol.augment: {problem}" for problem in found))
    if problems:
        raise SpecError(*problems)


def check_models(benchmark: Benchmark, runs: Iterable[Run], registry: Registry) -> None:
    """Builds each model for each geometry that it is to meet.

    Raises:
        SpecError: with every pairing that a model refuses, and why.
    """
    problems: dict[str, None] = {}
    built: set[str] = set()
    for run in runs:
        if run.members:
            continue  # these are looked at themselves
        wanted = _geometry(run, registry)
        pairing = f"{run.model} {wanted}"
        if pairing in built:
            continue
        built.add(pairing)
        place = f"{benchmark.document.where(('models',))}: dataset '{run.dataset.name}'"
        where = place if run.variant == "default" else f"{place}, variant '{run.variant}'"
        # a model that fails in another way fails its own runs, with the reason, and no other's
        refused = refusals(registry.model(run.model.name), wanted, run.model.params) or ()
        problems.update(dict.fromkeys(f"{where}: {problem}" for problem in refused))
    if problems:
        raise SpecError(*problems)


def refusals(plugin: ModelPlugin, wanted: Geometry, params: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Why a model cannot be built for a geometry, nothing where it can; None where it fails in another way.

    Built without memory for its weights, unless it reads them while it is built.
    """
    for place in ("meta", "cpu"):
        with contextlib.suppress(Exception):  # whatever a plugin does
            try:
                with torch.random.fork_rng(devices=[]), torch.device(place):
                    plugin.build(wanted, **params)
            except IncompatibleError as error:
                return error.problems
            return ()
    return None


def _geometry(run: Run, registry: Registry) -> Geometry:
    # opening reads no voxels and, before `cases`, no folder
    task = registry.dataset(run.dataset.name).open(Path(), **run.dataset.params).task
    channels = len(task.channels) + run.protocol.one_hot_foreground
    return geometry(run.protocol, channels=channels, regions=len(task.regions))
