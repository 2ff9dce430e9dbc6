"""`benchbench list` and `benchbench show`."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchbench.contract import DatasetPlugin, ModelPlugin
    from benchbench.plugins import Installed, Registry


@click.command("list")
@click.argument("kind", type=click.Choice(["datasets", "models"]), required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_command(*, kind: str | None, as_json: bool) -> None:
    """List the datasets and models that are installed, and the plugins that cannot be used."""
    from benchbench.plugins import discover  # noqa: PLC0415 after --help has answered

    registry = discover()
    catalogue = {each: _entries(registry, each) for each in ([kind] if kind else ["datasets", "models"])}
    broken = [{"name": each.name, "from": str(each.origin), "reason": each.reason} for each in registry.broken]
    if as_json:
        click.echo(json.dumps({**catalogue, "unavailable": broken}, indent=1))
        return
    for title, entries in catalogue.items():
        click.echo(title)
        for entry in entries:
            click.echo(f"  {entry['name']:<14} {_signature(entry['parameters'])}")
            click.echo(f"  {'':<14} {entry['source']}  [{entry['from']}]")
    for entry in broken:
        click.echo(f"unavailable: {entry['name']}: {entry['reason']}  [{entry['from']}]")


@click.command("show")
@click.argument("name")
def show_command(name: str) -> None:
    """Show the dataset or model NAME: parameters, source, licence."""
    from benchbench.document import nearest  # noqa: PLC0415 after --help has answered
    from benchbench.errors import PluginError  # noqa: PLC0415
    from benchbench.plugins import discover  # noqa: PLC0415

    registry = discover()
    found = False
    for kind in ("datasets", "models"):
        for entry in _entries(registry, kind):
            if entry["name"] == name:
                _show(kind, entry)
                found = True
    if not found:
        known = sorted({*registry.datasets, *registry.models})
        reasons = [f"{each.reason} ({each.origin})" for each in registry.broken if each.name == name]
        raise PluginError(f"no dataset or model '{name}': {reasons[0] if reasons else nearest(name, known)}")


def _entries(registry: Registry, kind: str) -> list[dict[str, Any]]:
    plugins: dict[str, Installed[Any]] = dict(registry.datasets if kind == "datasets" else registry.models)
    return [_entry(plugins[name]) for name in sorted(plugins)]


def _entry(installed: Installed[Any]) -> dict[str, Any]:
    from benchbench.contract import DatasetPlugin as Dataset  # noqa: PLC0415 as above

    plugin: DatasetPlugin | ModelPlugin = installed.plugin
    common = {"name": plugin.name, "source": plugin.source, "from": str(installed.origin)}
    if isinstance(plugin, Dataset):
        had = {"licence": plugin.download.licence, "page": plugin.download.page}
        return {**common, "parameters": _parameters(plugin.open), **had, "about": _about(plugin.open)}
    ndims = {"ndims": sorted(plugin.ndims)}
    return {**common, "parameters": _parameters(plugin.build), **ndims, "about": _about(plugin.build)}


def _parameters(factory: Callable[..., Any]) -> dict[str, str]:
    from benchbench.plugins import keyword_parameters  # noqa: PLC0415 as above

    return {
        name: f"{_type_name(each)} = {each.default!r}" if each.default is not each.empty else _type_name(each)
        for name, each in keyword_parameters(factory).items()
    }


def _type_name(parameter: inspect.Parameter) -> str:
    return str(getattr(parameter.annotation, "__name__", parameter.annotation))


def _about(factory: Callable[..., Any]) -> str:
    return inspect.getdoc(factory) or ""


def _signature(parameters: dict[str, str]) -> str:
    return ", ".join(f"{name}: {kind}" for name, kind in parameters.items()) or "no parameters"


def _show(kind: str, entry: dict[str, Any]) -> None:
    click.echo(f"{entry['name']}, a {kind[:-1]} from {entry['from']}")
    click.echo(f"source: {entry['source']}")
    if kind == "datasets":
        click.echo(f"licence: {entry['licence']}\nfiles: {entry['page']}")
    else:
        click.echo(f"dimensions: {', '.join(f'{each}D' for each in entry['ndims'])}")
    click.echo("parameters:" if entry["parameters"] else "parameters: none")
    for name, described in entry["parameters"].items():
        click.echo(f"  {name}: {described}")
    click.echo(f"\n{entry['about']}")
