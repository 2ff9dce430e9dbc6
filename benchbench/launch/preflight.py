"""Checks that need the engine, before anything runs: can the steps augment the patch, can the models be built?"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from benchbench.contract import Geometry, ModelPlugin, Task
from benchbench.engine.augmentation.augment import check_patch
from benchbench.engine.augmentation.host_augment import check_albumentations
from benchbench.engine.network.network import geometry_for
from benchbench.engine.network.without_values import new_tensors_on
from benchbench.errors import IncompatibleError, PluginError, SpecError
from benchbench.launch.child import ChildExitError, call_each_in_child, call_in_child
from benchbench.launch.network_checks import network_problems, smallest_part
from benchbench.plan.run import Run, RunKey
from benchbench.registry.faults import task_of
from benchbench.registry.registry import Registry
from benchbench.spec.augmentation import Albumentations
from benchbench.spec.benchmark import Benchmark
from benchbench.spec.protocol import Protocol


def check_steps(benchmark: Benchmark) -> None:
    """Check the augmentation steps of all variants.

    Raises:
        SpecError: with every step that would fail in a run, and the reason.
    """
    problems: dict[str, None] = {}  # in order, without repetition
    for variant in benchmark.variants:
        for path, name, protocol in variant.protocols():
            place = benchmark.document.where((*path, "augment"))
            step_problems = check_patch(protocol.augment, protocol.patch)
            for step in protocol.augment:
                if isinstance(step, Albumentations):
                    step_problems += check_albumentations(step)
            problems.update(dict.fromkeys(f"{place}: {name}.augment: {problem}" for problem in step_problems))
    if problems:
        raise SpecError(*problems)


class BuildExitError(PluginError):
    """Building a model ends the process."""

    def __init__(self, model: str, error: ChildExitError) -> None:
        super().__init__(f"model '{model}': building it {error}; correct or uninstall its plugin")


def check_models(benchmark: Benchmark, runs: Iterable[Run], registry: Registry) -> dict[RunKey, str]:
    """Build each model once for each geometry that it gets, all in one child process.

    Returns the runs whose model ends the process that builds it, and how.

    Raises:
        SpecError: with every geometry that a model refuses, and the reason.
    """
    pairings: dict[str, _Pairing] = {}
    for run in runs:
        if run.is_trained:  # an ensemble's members are runs of their own
            _add_pairing(pairings, run, benchmark, registry)
    problems: dict[str, None] = {}  # in order, without repetition
    exits: dict[RunKey, str] = {}
    refusals = call_each_in_child([pairing.find_refusals for pairing in pairings.values()])
    for pairing, result in zip(pairings.values(), refusals, strict=True):
        if isinstance(result, ChildExitError):
            exits.update(dict.fromkeys(pairing.runs, str(BuildExitError(pairing.model, result))))
            continue
        # a model that fails in another way (None) fails only its own runs, which give the reason
        for problem in result or ():
            problems[f"{pairing.where}: {problem}"] = None
    if problems:
        raise SpecError(*problems)
    return exits


class _Pairing(NamedTuple):
    """A model with a geometry that it gets."""

    model: str
    where: str
    """Place in the benchmark file, the dataset and the variant, for messages."""
    find_refusals: Callable[[], tuple[str, ...] | None]
    runs: list[RunKey]
    """The runs that build the model so."""


def _add_pairing(pairings: dict[str, _Pairing], run: Run, benchmark: Benchmark, registry: Registry) -> None:
    """Add the run to the pairing of its model and geometry, by the text that identifies the pairing."""
    task = task_of(registry.named_dataset(run.dataset), run.dataset.params)
    geometry = _geometry(run.protocol, task)
    identity = f"{run.model} {geometry} {smallest_part(run.protocol)} {bool(task.ignored)}"
    if identity not in pairings:
        where = f"{benchmark.document.where(('models',))}: dataset '{run.dataset.name}'"
        if run.variant != "default":
            where += f", variant '{run.variant}'"
        inspect = partial(network_problems, geometry=geometry, protocol=run.protocol, task=task)
        plugin = registry.model(run.model.name)
        check = partial(_find_refusals, plugin, geometry, run.model.params, inspect)
        pairings[identity] = _Pairing(run.model.name, where, check, [])
    pairings[identity].runs.append(run.key)


def find_refusals(
    plugin: ModelPlugin,
    geometry: Geometry,
    params: Mapping[str, Any],
    *,
    inspect: Callable[[nn.Module], Iterable[str]] = lambda _: (),
) -> tuple[str, ...] | None:
    """Return why a model refuses a geometry, () where it does not; None where it fails in another way.

    The model is built in a child process, without memory for its weights unless it reads them while it is built.
    `inspect` yields further problems of the built model.

    Raises:
        BuildExitError: building the model ends the process.
    """
    try:
        return call_in_child(partial(_find_refusals, plugin, geometry, params, inspect))
    except ChildExitError as error:
        raise BuildExitError(plugin.name, error) from error


def _find_refusals(
    plugin: ModelPlugin,
    geometry: Geometry,
    params: Mapping[str, Any],
    inspect: Callable[[nn.Module], Iterable[str]],
) -> tuple[str, ...] | None:
    for device in ("meta", "cpu"):
        with contextlib.suppress(Exception):  # a plugin may raise anything
            try:
                with new_tensors_on(device):
                    model = plugin.build(geometry, **params)
            except IncompatibleError as error:
                return error.problems
            return tuple(f"model '{plugin.name}' {problem}" for problem in inspect(model))
    return None


def _geometry(protocol: Protocol, task: Task) -> Geometry:
    return geometry_for(protocol, channels=len(task.channels), regions=len(task.regions))
