"""`benchbench show`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbench.cli.completion import complete_plugins
from benchbench.cli.json_output import document_of, format_option
from benchbench.cli.options import cache_option, data_root_option, params_option, read_params

if TYPE_CHECKING:
    from benchbench.contract import DatasetPlugin, ExtensionPlugin, ModelPlugin, Task
    from benchbench.registry.registry import Origin, Plugin, Registry


_PHANTOM_SIZE = 128
_PROTOCOL = "protocol"
_PNG = ".png"


@click.command("show")
@click.argument("name", shell_complete=complete_plugins)
@params_option
@click.option("--geometry", "text", help="Models: channels and patch for the cost, e.g. 3x256x256 or 1x96x96x96.")
@click.option(
    "--regions", type=click.IntRange(min=1), default=1, show_default=True, help="Models: channels of the output."
)
@click.option("--picture", type=click.Path(path_type=Path), help="Datasets: draw a case and its label as PNG.")
@click.option(
    "--augmentations",
    type=click.Path(path_type=Path),
    help="Benchmark files: draw random augmentations of an image as PNG.",
)
@click.option("--draws", type=click.IntRange(1, 20), default=5, show_default=True, help="Random augmentations.")
@click.option("--case", default="", help="Case to draw; default: the first.")
@click.option("--rehearse", is_flag=True, help="Draw phantom data.")
@data_root_option
@cache_option
@format_option
def show_command(
    name: str,
    *,
    overrides: tuple[str, ...],
    text: str | None,
    regions: int,
    picture: Path | None,
    augmentations: Path | None,
    draws: int,
    output_format: str,
    **source: Any,
) -> None:
    """Show the plugin NAME: parameters, source, licence; for a model, its cost and fitting datasets.

    NAME can be `protocol`: all keys of [protocol] in a benchmark file, with types, defaults and meanings.

    With --picture, draw a case of the dataset NAME; with --augmentations, an image of the benchmark file NAME.
    """
    from benchbench.contract import DatasetPlugin, ModelPlugin  # noqa: PLC0415 after --help has answered
    from benchbench.registry.registry import discover  # noqa: PLC0415

    with document_of("show", output_format) as document:
        if name == _PROTOCOL:
            from benchbench.cli.reference.benchmark_file import tables, text_of  # noqa: PLC0415 as above

            _echo(text_of("Protocol"))
            document.content = {"kind": "protocol", "tables": [table._asdict() for table in tables()]}
            return
        registry = discover()
        if augmentations is not None:
            _draw_augmentations(Path(name), augmentations, registry, overrides, draws=draws, **source)
            document.content = {"name": name, "written": augmentations}
            return
        installed = registry.find(name)
        if picture is not None:
            _draw_case(installed.plugin, picture, overrides, **source)
            document.content = {"name": name, "written": picture}
            return
        if isinstance(installed.plugin, DatasetPlugin):
            document.content = _show_dataset(installed.plugin, installed.origin, overrides)
            return
        if not isinstance(installed.plugin, ModelPlugin):
            document.content = _show_extension(installed.plugin, installed.origin)
            return
        chosen = [text] if text else []
        document.content = _show_model(
            installed.plugin, installed.origin, overrides, registry, geometries=chosen, regions=regions
        )


def _show_dataset(plugin: DatasetPlugin, origin: Origin, overrides: tuple[str, ...]) -> dict[str, Any]:
    """Print a dataset and return its values."""
    from benchbench.registry.descriptions import about  # noqa: PLC0415 as above

    params = read_params(plugin.open, overrides)
    click.echo(f"{plugin.name}, a dataset from {origin}")
    _echo(_dataset_lines(plugin, params))
    _echo(_parameter_lines(plugin.open))
    _echo(["", *about(plugin.open).splitlines()])
    content = {"kind": "dataset", "name": plugin.name, "from": str(origin), "source": plugin.source}
    task = _known_task(plugin, params)
    return {
        **content,
        "licence": plugin.download.licence,
        "page": plugin.download.page,
        "channels": task.channels if task else None,
        "regions": task.regions if task else None,
        "ignored": task.ignored if task else None,
        "parameters": _parameters(plugin.open),
        "about": about(plugin.open),
    }


def _show_extension(plugin: ExtensionPlugin, origin: Origin) -> dict[str, Any]:
    """Print a loss, a metric or another plugin that a protocol names, and return its values."""
    from benchbench.contract import MetricPlugin  # noqa: PLC0415 as above
    from benchbench.registry.descriptions import about  # noqa: PLC0415
    from benchbench.registry.kinds import SINGULAR, factory_of, kind_of  # noqa: PLC0415

    kind, factory = SINGULAR[kind_of(plugin)], factory_of(plugin)
    click.echo(f"{plugin.name}, a plugin for a protocol ({kind}) from {origin}")
    lines = [f"source: {plugin.source}"]
    if isinstance(plugin, MetricPlugin):
        low, high = plugin.range
        better = "less" if plugin.is_lower_better else "more"
        lines.append(f"range: {low:g} to {high:g}, {better} is better")
        lines.append(f"two empty masks: {plugin.both_empty:g}; one empty mask: {plugin.one_empty:g}")
    _echo([*lines, *_parameter_lines(factory), "", *about(factory).splitlines()])
    content = {"kind": kind, "name": plugin.name, "from": str(origin), "source": plugin.source}
    return {**content, "parameters": _parameters(factory), "about": about(factory)}


def _show_model(
    plugin: ModelPlugin,
    origin: Origin,
    overrides: tuple[str, ...],
    registry: Registry,
    *,
    geometries: Sequence[str],
    regions: int,
) -> dict[str, Any]:
    """Print a model and return its values."""
    from benchbench.cli.model_details import (  # noqa: PLC0415 imports torch
        cost_lines,
        fit_lines,
        measure_geometry,
        parse_geometry,
        try_datasets,
        usual_geometries,
    )
    from benchbench.registry.descriptions import about  # noqa: PLC0415

    params = read_params(plugin.build, overrides)
    click.echo(f"{plugin.name}, a model from {origin}")
    _echo(_model_lines(plugin))
    _echo(_parameter_lines(plugin.build))
    chosen = [parse_geometry(text, regions=regions) for text in geometries]
    costs = []
    for geometry in chosen or usual_geometries(plugin, regions=regions):
        measured = measure_geometry(plugin, geometry, params)
        fits = try_datasets(plugin, geometry, params, registry)
        _echo(cost_lines(measured))
        _echo(fit_lines(geometry, fits))
        costs.append({**measured._asdict(), "datasets": fits})
    _echo(["", *about(plugin.build).splitlines()])
    return {
        "kind": "model",
        "name": plugin.name,
        "from": str(origin),
        "source": plugin.source,
        "licence": plugin.licence,
        "ndims": plugin.ndims,
        "costs": costs,
        "parameters": _parameters(plugin.build),
        "about": about(plugin.build),
    }


def _parameters(factory: Any) -> list[dict[str, str]]:
    """Return name, type with default, and description of each parameter."""
    from benchbench.registry.descriptions import parameter_descriptions, parameter_signatures  # noqa: PLC0415 as above

    descriptions = parameter_descriptions(factory)
    rows = []
    for name, signature in parameter_signatures(factory).items():
        rows.append({"name": name, "type": signature, "description": descriptions[name]})
    return rows


def _draw_case(
    plugin: Plugin,
    file: Path,
    overrides: tuple[str, ...],
    *,
    case: str,
    rehearse: bool,
    data_root: Path | None,
    cache: Path,
) -> None:
    from benchbench.contract import DatasetPlugin  # noqa: PLC0415 as above
    from benchbench.errors import UsageError  # noqa: PLC0415
    from benchbench.launch.show_pictures import PictureSource, picture_of_case  # noqa: PLC0415
    from benchbench.spec.benchmark_file import PhantomSize  # noqa: PLC0415

    _check_name("--picture", file)
    if not isinstance(plugin, DatasetPlugin):
        raise UsageError(f"--picture: '{plugin.name}' is no dataset, and has no cases; name a dataset")
    phantom = PhantomSize(patients=3, size=_PHANTOM_SIZE) if rehearse else None
    params = read_params(plugin.open, overrides)
    source = PictureSource(data_root=data_root, cache=cache, phantom=phantom, case=case)
    _write(file, picture_of_case(plugin, params, source))


def _draw_augmentations(
    benchmark_file: Path,
    file: Path,
    registry: Registry,
    overrides: tuple[str, ...],
    *,
    draws: int,
    case: str,
    rehearse: bool,
    data_root: Path | None,
    cache: Path,
) -> None:
    from benchbench.launch.show_pictures import PictureSource, picture_of_augmentations  # noqa: PLC0415 as above
    from benchbench.spec.benchmark import read_benchmark  # noqa: PLC0415

    _check_name("--augmentations", file)
    benchmark = read_benchmark(benchmark_file, check=registry.check, overrides=overrides, rehearse=rehearse)
    source = PictureSource(data_root=data_root, cache=cache, phantom=benchmark.rehearsal, case=case)
    _write(file, picture_of_augmentations(benchmark, registry, source, draws=draws))


def _check_name(option: str, file: Path) -> None:
    """Raise UsageError unless the name of a picture says that it is a PNG."""
    from benchbench.errors import UsageError  # noqa: PLC0415 as above

    if file.suffix.lower() != _PNG:
        raise UsageError(f"{option} {file}: expected a name that ends with {_PNG}")


def _write(file: Path, content: bytes) -> None:
    from benchbench.data.atomic import write_atomic  # noqa: PLC0415 as above

    write_atomic(file, content)
    click.echo(f"wrote {file}")


def _known_task(plugin: DatasetPlugin, params: Mapping[str, Any]) -> Task | None:
    """Return channels and regions; None where the files of the dataset describe them."""
    from benchbench.registry.faults import task_of  # noqa: PLC0415 as above
    from benchbench.registry.parameters import resolve_params  # noqa: PLC0415

    if plugin.describe is not None and params == resolve_params(plugin.open, {}):
        return None
    return task_of(plugin, params)


def _dataset_lines(plugin: DatasetPlugin, params: Mapping[str, Any]) -> Iterator[str]:
    download = plugin.download
    yield f"source: {plugin.source}"
    yield f"licence: {download.licence}"
    handle = f", on Kaggle {download.kaggle}" if download.kaggle else ""
    yield f"files: {download.page}{handle}"
    task = _known_task(plugin, params)
    if task is None:
        yield "channels and regions: those that its files describe"
        return
    yield f"channels: {', '.join(task.channels)}"
    regions = []
    for name, values in task.regions.items():
        labels = ", ".join(str(value) for value in values)
        regions.append(f"{name} ({labels})")
    yield f"regions with their labels: {', '.join(regions)}"
    if task.ignored:
        yield f"ignored labels: {', '.join(map(str, task.ignored))}"


def _model_lines(plugin: ModelPlugin) -> Iterator[str]:
    yield f"source: {plugin.source}"
    yield f"licence: {plugin.licence or 'that of its distribution'}"
    dimensions = [f"{ndim}D" for ndim in sorted(plugin.ndims)]
    yield f"dimensions: {', '.join(dimensions)}"


def _parameter_lines(factory: Any) -> Iterator[str]:
    """Yield each parameter with its type and default, followed by its description."""
    parameters = _parameters(factory)
    yield "parameters:" if parameters else "parameters: none"
    for parameter in parameters:
        yield f"  {parameter['name']}: {parameter['type']}"
        if parameter["description"]:
            yield f"      {parameter['description']}"


def _echo(lines: Iterable[str]) -> None:
    from benchbench.cli.terminal import print_text  # noqa: PLC0415 printing only

    for line in lines:
        print_text(line, indent=len(line) - len(line.lstrip()) + 2)
