"""The cost of a model at a geometry, and the datasets that it fits, in lines of text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchbench.contract import OWN_FILES, DatasetPlugin, Geometry, ModelPlugin
from benchbench.engine.cost.network_cost import COUNTER, measure_cost, measure_receptive_field
from benchbench.errors import IncompatibleError, PluginError, UsageError
from benchbench.launch.preflight import find_refusals
from benchbench.registry.faults import task_of
from benchbench.registry.parameters import check_params, resolve_params
from benchbench.registry.registry import Registry

_USUAL_SIZES = {2: (3, 256, 256), 3: (1, 96, 96, 96)}
"""Number of axes -> channels and patch."""


def parse_geometry(text: str, *, regions: int) -> Geometry:
    """Read channels and patch from text like 3x256x256.

    Raises:
        UsageError: the text has another form.
    """
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){2,3}", text):
        raise UsageError(f"--geometry {text}: expected channels and two or three sizes; write it like 3x256x256")
    channels, *patch = [int(part) for part in text.split("x")]
    return Geometry(channels, regions, tuple(patch))


def usual_geometries(plugin: ModelPlugin, *, regions: int) -> list[Geometry]:
    """Return a geometry of common size for each number of axes that the model supports."""
    geometries = []
    for ndim in sorted(plugin.ndims):
        channels, *patch = _USUAL_SIZES[ndim]
        geometries.append(Geometry(channels, regions, tuple(patch)))
    return geometries


class GeometryCost(NamedTuple):
    """The cost of a model at a geometry; only `geometry` and `refusal` are known where it cannot be built."""

    geometry: Geometry
    refusal: str = ""
    """Why the model cannot be built for the geometry."""
    parameters: int | None = None
    trainable: int | None = None
    """Number of parameters that are trained."""
    macs: int | None = None
    """Multiply-adds for one image in eval mode."""
    uncounted: tuple[str, ...] = ()
    """Modules that compute and are not in `macs`."""
    idle: tuple[str, ...] = ()
    """Modules with parameters that are used in training only."""
    receptive_field: str = ""


class DatasetFit(NamedTuple):
    """The answer to whether a model can be built for the channels and regions of a dataset."""

    dataset: str
    counts: str
    """Numbers of channels and regions, as in 3 -> 1; '' if the model cannot be built."""
    reason: str
    """Why it cannot be built; '' if it can."""


def measure_geometry(plugin: ModelPlugin, geometry: Geometry, params: Mapping[str, Any]) -> GeometryCost:
    """Build the model and count its parameters and multiply-adds."""
    find_refusals(plugin, geometry, params)  # in a child process: a model that exits must not end this one
    try:
        cost = measure_cost(plugin, geometry, params)
    except IncompatibleError as error:
        return GeometryCost(geometry, str(error))
    return GeometryCost(
        geometry=geometry,
        parameters=cost.parameters,
        trainable=cost.trainable,
        macs=cost.macs,
        uncounted=tuple(cost.uncounted),
        idle=tuple(cost.idle),
        receptive_field=_describe_receptive_field(plugin, geometry, params, macs=cost.macs),
    )


def cost_lines(cost: GeometryCost) -> Iterator[str]:
    """Yield parameters, multiply-adds, receptive field, and which modules are not counted."""
    geometry = cost.geometry
    place = f"at {geometry.in_channels} -> {geometry.out_channels}, {format_size(geometry.patch)}"
    if cost.macs is None:
        yield f"{place}: {cost.refusal}"
        return
    parameters = f"{cost.parameters:,} parameters"
    if cost.trainable != cost.parameters:
        parameters += f", {cost.trainable:,} of them trainable"
    yield f"{place}: {parameters}, {cost.macs / 1e9:,.3f} GMACs"
    yield f"  counted at batch size 1 in eval mode by {COUNTER}; FLOPs are twice as many"
    if cost.uncounted:
        yield f"  not counted, although they compute: {', '.join(cost.uncounted)}"
    if cost.idle:
        yield f"  have parameters but are used in training only: {', '.join(cost.idle)}"
    yield f"  receptive field: {cost.receptive_field}"


def _describe_receptive_field(
    plugin: ModelPlugin, geometry: Geometry, params: Mapping[str, Any], *, macs: int
) -> str:
    try:
        extent, size = measure_receptive_field(plugin, geometry, params, macs=macs)
    except (IncompatibleError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        return f"not measured, because the model refuses an input small enough to be quick ({reason})"
    if extent == size:
        return f"at least the whole input of {format_size(size)}"
    return f"{format_size(extent)} of an input of {format_size(size)}"


def try_datasets(
    plugin: ModelPlugin, geometry: Geometry, params: Mapping[str, Any], registry: Registry
) -> list[DatasetFit]:
    """Return for each installed dataset whether the model can be built for it at this patch."""
    fits = []
    for name, installed in sorted(registry.datasets.items()):
        if installed.plugin.download is OWN_FILES:
            continue  # its channels and regions are those of its user
        fits.append(DatasetFit(name, *_try_dataset(plugin, geometry, params, installed.plugin)))
    return fits


def fit_lines(geometry: Geometry, fits: Sequence[DatasetFit]) -> Iterator[str]:
    """Yield the datasets for which the model can be built, and the reasons for the others."""
    fitting = [f"{fit.dataset} ({fit.counts})" for fit in fits if not fit.reason]
    yield f"  fits, {len(geometry.patch)}D: {', '.join(fitting) or 'none'}"
    others = [fit for fit in fits if fit.reason]
    if others:
        yield "  does not fit:"
    for fit in others:
        yield f"    {fit.dataset}: {fit.reason}"


def _try_dataset(
    plugin: ModelPlugin, geometry: Geometry, params: Mapping[str, Any], dataset: DatasetPlugin
) -> tuple[str, str]:
    """Return the numbers of channels and regions, and why the model cannot be built for them ('' if it can)."""
    if problems := check_params(dataset.open, {}):
        return "", problems[0][1]
    try:
        task = task_of(dataset, resolve_params(dataset.open, {}))
    except PluginError as error:
        return "", str(error)
    channels = len(task.channels)
    regions = len(task.regions)
    reasons = find_refusals(plugin, geometry._replace(in_channels=channels, out_channels=regions), params)
    if reasons is None:
        return "", "building it fails; `benchbench check` shows the error"
    return f"{channels} -> {regions}", reasons[0] if reasons else ""


def format_size(size: tuple[int, ...]) -> str:
    """Return sizes as 256 × 256."""
    return " × ".join(map(str, size))  # noqa: RUF001 the usual sign
