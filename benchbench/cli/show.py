"""`benchbench show`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbench.cli.options import params_option, read_params
from benchbench.registry.descriptions import about, parameter_signatures

if TYPE_CHECKING:
    from benchbench.contract import DatasetPlugin, Geometry, ModelPlugin
    from benchbench.registry.registry import Registry


@click.command("show")
@click.argument("name")
@params_option
@click.option("--geometry", "text", help="Models: channels and patch to count at, e.g. 3x256x256 or 1x96x96x96.")
@click.option(
    "--regions", type=click.IntRange(min=1), default=1, show_default=True, help="Channels of the output."
)
def show_command(name: str, *, overrides: tuple[str, ...], text: str | None, regions: int) -> None:
    """Show the dataset or model NAME: parameters, source, licence; of a model, cost and what it fits."""
    from benchbench.contract import DatasetPlugin  # noqa: PLC0415 after --help has answered
    from benchbench.registry.registry import discover  # noqa: PLC0415

    registry = discover()
    installed = registry.find(name)
    plugin = installed.plugin
    if isinstance(plugin, DatasetPlugin):
        params = read_params(plugin.open, overrides)
        click.echo(f"{name}, a dataset from {installed.origin}")
        _echo(dataset_lines(plugin, params))
        _echo(parameter_lines(plugin.open))
        click.echo(f"\n{about(plugin.open)}")
        return
    params = read_params(plugin.build, overrides)
    click.echo(f"{name}, a model from {installed.origin}")
    _echo(model_lines(plugin))
    _echo(parameter_lines(plugin.build))
    for geometry in geometries(plugin, text, regions=regions):
        _echo(cost_lines(plugin, geometry, params))
        _echo(fit_lines(plugin, geometry, params, registry))
    click.echo(f"\n{about(plugin.build)}")


def dataset_lines(plugin: DatasetPlugin, params: Mapping[str, Any]) -> Iterator[str]:
    """Source, licence, where the files are had, what is segmented."""
    yield f"source: {plugin.source}"
    yield f"licence: {plugin.download.licence}"
    handle = f", on Kaggle {plugin.download.kaggle}" if plugin.download.kaggle else ""
    yield f"files: {plugin.download.page}{handle}"
    task = plugin.open(Path(), **params).task  # opening reads nothing
    yield f"channels: {', '.join(task.channels)}"
    regions = (f"{name} ({', '.join(map(str, values))})" for name, values in task.regions.items())
    yield f"regions, and the labels of each: {', '.join(regions)}"


def model_lines(plugin: ModelPlugin) -> Iterator[str]:
    """Source, licence, dimensions."""
    yield f"source: {plugin.source}"
    yield f"licence: {plugin.licence or 'that of its distribution'}"
    yield f"dimensions: {', '.join(f'{each}D' for each in sorted(plugin.ndims))}"


def parameter_lines(factory: Any) -> Iterator[str]:
    """Each parameter with its type and default, and under it what it means."""
    from benchbench.registry.descriptions import parameter_descriptions  # noqa: PLC0415 after --help has answered

    found, said = parameter_signatures(factory), parameter_descriptions(factory)
    yield "parameters:" if found else "parameters: none"
    for name, described in found.items():
        yield f"  {name}: {described}"
        if said[name]:
            yield f"      {said[name]}"


def geometries(plugin: ModelPlugin, text: str | None, *, regions: int) -> list[Geometry]:
    """That of the option, or one of a usual size for each number of axes.

    Raises:
        UsageError: the option is not like 3x256x256.
    """
    from benchbench.contract import Geometry  # noqa: PLC0415 after --help has answered
    from benchbench.errors import UsageError  # noqa: PLC0415

    usual = {2: (3, 256, 256), 3: (1, 96, 96, 96)}
    if text is None:
        sizes = [usual[ndim] for ndim in sorted(plugin.ndims)]
    elif re.fullmatch(r"[1-9]\d*(x[1-9]\d*){2,3}", text):
        sizes = [tuple(int(part) for part in text.split("x"))]
    else:
        raise UsageError(f"--geometry {text}: expected channels and two or three sizes; write it like 3x256x256")
    return [Geometry(channels, regions, tuple(patch)) for channels, *patch in sizes]


def cost_lines(plugin: ModelPlugin, geometry: Geometry, params: Mapping[str, Any]) -> Iterator[str]:
    """Parameters, multiply-adds and receptive field at a geometry, and what of them is not counted."""
    from benchbench.engine.cost.network_cost import COUNTER, measure_cost  # noqa: PLC0415 torch, only where it counts
    from benchbench.errors import IncompatibleError  # noqa: PLC0415

    try:
        cost = measure_cost(plugin, geometry, params)
    except IncompatibleError as error:
        yield f"at {described(geometry)}: {error}"
        return
    fixed = f", {cost.trainable:,} of them trainable" if cost.trainable != cost.parameters else ""
    yield f"at {described(geometry)}: {cost.parameters:,} parameters{fixed}, {cost.macs / 1e9:,.3f} GMACs"
    yield f"  counted at batch 1 in eval mode by {COUNTER}; twice as many FLOPs"
    if cost.uncounted:
        yield f"  not counted, though they compute: {', '.join(cost.uncounted)}"
    if cost.idle:
        yield f"  with parameters that only training uses: {', '.join(cost.idle)}"
    yield f"  receptive field: {receptive_field(plugin, geometry, params, macs=cost.macs)}"


def receptive_field(plugin: ModelPlugin, geometry: Geometry, params: Mapping[str, Any], *, macs: int) -> str:
    """What moves the centre of the output, in words."""
    from benchbench.engine.cost.network_cost import measure_receptive_field  # noqa: PLC0415 as above
    from benchbench.errors import IncompatibleError  # noqa: PLC0415

    try:
        extent, seen = measure_receptive_field(plugin, geometry, params, macs=macs)
    except (IncompatibleError, RuntimeError, ValueError) as error:
        return f"not measured: an input small enough to be quick is refused ({str(error).partition(chr(10))[0]})"
    if extent == seen:
        return f"all of an input of {by(seen)}, or more"
    return f"{by(extent)} of an input of {by(seen)}"


def fit_lines(
    plugin: ModelPlugin, geometry: Geometry, params: Mapping[str, Any], registry: Registry
) -> Iterator[str]:
    """The datasets that the model can be built for at the geometry's patch, and why it cannot for others."""
    from benchbench.launch.preflight import refusals  # noqa: PLC0415 torch, only where it counts
    from benchbench.registry.parameters import check_params, resolve_params  # noqa: PLC0415

    fits, reasons = [], []
    for name, installed in sorted(registry.datasets.items()):
        opened = installed.plugin.open
        if problems := check_params(opened, {}):
            reasons.append(f"  {name}: {problems[0][1]}")
            continue
        task = opened(Path(), **resolve_params(opened, {})).task
        wanted = geometry._replace(in_channels=len(task.channels), out_channels=len(task.regions))
        refused = refusals(plugin, wanted, params)
        if refused is None:
            reasons.append(f"  {name}: it fails when it is built; `benchbench check` says how")
        elif refused:
            reasons.append(f"  {name}: {refused[0]}")
        else:
            fits.append(f"{name} ({len(task.channels)} -> {len(task.regions)})")
    yield f"  fits, {len(geometry.patch)}D: {', '.join(fits) or 'none'}"
    if reasons:
        yield "  does not fit:"
        yield from (f"  {reason}" for reason in reasons)


def described(geometry: Geometry) -> str:
    """Channels in and out, and the patch."""
    return f"{geometry.in_channels} -> {geometry.out_channels}, {by(geometry.patch)}"


def by(sizes: tuple[int, ...]) -> str:
    """Sizes as 256 × 256."""
    return " × ".join(map(str, sizes))  # noqa: RUF001 as sizes are written


def _echo(lines: Iterator[str]) -> None:
    for line in lines:
        click.echo(line)
