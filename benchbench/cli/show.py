"""`benchbench show`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbench.cli.options import cache_option, data_root_option, params_option, read_params

if TYPE_CHECKING:
    from benchbench.contract import DatasetPlugin, ModelPlugin
    from benchbench.registry.registry import Registry


_PHANTOM_SIZE = 128
_PNG = ".png"


@click.command("show")
@click.argument("name")
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
def show_command(
    name: str,
    *,
    overrides: tuple[str, ...],
    text: str | None,
    regions: int,
    picture: Path | None,
    augmentations: Path | None,
    draws: int,
    **source: Any,
) -> None:
    """Show the dataset or model NAME: parameters, source, licence; for a model, its cost and fitting datasets.

    With --picture, draw a case of the dataset NAME; with --augmentations, an image of the benchmark file NAME.
    """
    from benchbench.contract import DatasetPlugin  # noqa: PLC0415 after --help has answered
    from benchbench.registry.descriptions import about  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415

    registry = discover()
    if augmentations is not None:
        _draw_augmentations(Path(name), augmentations, registry, overrides, draws=draws, **source)
        return
    installed = registry.find(name)
    plugin = installed.plugin
    if picture is not None:
        _draw_case(plugin, picture, overrides, **source)
        return
    if isinstance(plugin, DatasetPlugin):
        params = read_params(plugin.open, overrides)
        click.echo(f"{name}, a dataset from {installed.origin}")
        _echo(_dataset_lines(plugin, params))
        _echo(_parameter_lines(plugin.open))
        _echo(["", *about(plugin.open).splitlines()])
        return
    params = read_params(plugin.build, overrides)
    click.echo(f"{name}, a model from {installed.origin}")
    _echo(_model_lines(plugin))
    _echo(_parameter_lines(plugin.build))
    _echo(_cost_and_fit_lines(plugin, params, registry, text, regions=regions))
    _echo(["", *about(plugin.build).splitlines()])


def _draw_case(
    plugin: DatasetPlugin | ModelPlugin,
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
        raise UsageError(f"--picture: '{plugin.name}' is a model, which has no cases; name a dataset")
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


def _dataset_lines(plugin: DatasetPlugin, params: Mapping[str, Any]) -> Iterator[str]:
    from benchbench.registry.faults import task_of  # noqa: PLC0415 as above
    from benchbench.registry.parameters import resolve_params  # noqa: PLC0415

    download = plugin.download
    yield f"source: {plugin.source}"
    yield f"licence: {download.licence}"
    handle = f", on Kaggle {download.kaggle}" if download.kaggle else ""
    yield f"files: {download.page}{handle}"
    if plugin.describe is not None and params == resolve_params(plugin.open, {}):
        yield "channels and regions: those that its files describe"
        return
    task = task_of(plugin, params)
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
    from benchbench.registry.descriptions import parameter_descriptions, parameter_signatures  # noqa: PLC0415 as above

    parameters = parameter_signatures(factory)
    descriptions = parameter_descriptions(factory)
    yield "parameters:" if parameters else "parameters: none"
    for name, type_and_default in parameters.items():
        yield f"  {name}: {type_and_default}"
        if descriptions[name]:
            yield f"      {descriptions[name]}"


def _cost_and_fit_lines(
    plugin: ModelPlugin, params: Mapping[str, Any], registry: Registry, text: str | None, *, regions: int
) -> Iterator[str]:
    from benchbench.cli.model_details import (  # noqa: PLC0415 imports torch
        cost_lines,
        fit_lines,
        parse_geometry,
        usual_geometries,
    )

    if text is None:
        geometries = usual_geometries(plugin, regions=regions)
    else:
        geometries = [parse_geometry(text, regions=regions)]
    for geometry in geometries:
        yield from cost_lines(plugin, geometry, params)
        yield from fit_lines(plugin, geometry, params, registry)


def _echo(lines: Iterable[str]) -> None:
    from benchbench.cli.terminal import print_text  # noqa: PLC0415 printing only

    for line in lines:
        print_text(line, indent=len(line) - len(line.lstrip()) + 2)
