"""What only the engine knows to be impossible, told before anything runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import torch

from benchbench.contract import Geometry
from benchbench.engine.augment import check_patch
from benchbench.engine.host_augment import check_albumentations
from benchbench.engine.network import geometry
from benchbench.errors import IncompatibleError, SpecError
from benchbench.plan import Run
from benchbench.plugins import Registry
from benchbench.protocol import Albumentations
from benchbench.spec import Benchmark


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
    """Builds each model for each geometry that it is to meet, without memory for its weights.

    Raises:
        SpecError: with every pairing that a model refuses, and why.
    """
    problems: dict[str, None] = {}
    built: set[str] = set()
    for run in runs:
        wanted = _geometry(run, registry)
        pairing = f"{run.model} {wanted}"
        if pairing in built:
            continue
        built.add(pairing)
        # whatever else a model cannot do without weights shows when it has some
        with contextlib.suppress(Exception):
            problems.update(dict.fromkeys(_refusals(benchmark, run, wanted, registry)))
    if problems:
        raise SpecError(*problems)


def _geometry(run: Run, registry: Registry) -> Geometry:
    # opening reads no voxels and, before `cases`, no folder
    task = registry.dataset(run.dataset.name).open(Path(), **run.dataset.params).task
    channels = len(task.channels) + run.protocol.one_hot_foreground
    return geometry(run.protocol, channels=channels, regions=len(task.regions))


def _refusals(benchmark: Benchmark, run: Run, wanted: Geometry, registry: Registry) -> list[str]:
    try:
        with torch.device("meta"):
            registry.model(run.model.name).build(wanted, **run.model.params)
    except IncompatibleError as error:
        place = f"{benchmark.document.where(('models',))}: dataset '{run.dataset.name}'"
        where = place if run.variant == "default" else f"{place}, variant '{run.variant}'"
        return [f"{where}: {problem}" for problem in error.problems]
    return []
