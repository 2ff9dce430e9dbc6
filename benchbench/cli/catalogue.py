"""`benchbench list`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from benchbench.registry.descriptions import about, parameter_signatures

if TYPE_CHECKING:
    from benchbench.contract import DatasetPlugin, ModelPlugin
    from benchbench.registry.registry import Installed, Registry


@click.command("list")
@click.argument("kind", type=click.Choice(["datasets", "models"]), required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--markdown", is_flag=True, help="Models: a page of what each costs, beside published counts.")
def list_command(*, kind: str | None, as_json: bool, markdown: bool) -> None:
    """List the datasets and models that are installed, and the plugins that cannot be used."""
    from benchbench.registry.registry import discover  # noqa: PLC0415 after --help has answered

    registry = discover()
    if markdown:
        from benchbench.cli.models_page import models_page  # noqa: PLC0415 torch, only where it counts
        from benchbench.errors import UsageError  # noqa: PLC0415

        if kind != "models":
            raise UsageError("--markdown is a page of models; write benchbench list models --markdown")
        click.echo(models_page(registry.models), nl=False)
        return
    catalogue = {each: _entries(registry, each) for each in ([kind] if kind else ["datasets", "models"])}
    broken = [{"name": each.name, "from": str(each.origin), "reason": each.reason} for each in registry.broken]
    if as_json:
        click.echo(json.dumps({**catalogue, "unavailable": broken}, indent=1))
        return
    for title, entries in catalogue.items():
        click.echo(title)
        for entry in entries:
            click.echo(f"  {entry['name']:<26} {_signature(entry['parameters'])}")
            click.echo(f"  {'':<26} {entry['source']}  [{entry['from']}]")
    for entry in broken:
        click.echo(f"unavailable: {entry['name']}: {entry['reason']}  [{entry['from']}]")


def _entries(registry: Registry, kind: str) -> list[dict[str, Any]]:
    plugins: dict[str, Installed[Any]] = dict(registry.datasets if kind == "datasets" else registry.models)
    return [_entry(plugins[name]) for name in sorted(plugins)]


def _entry(installed: Installed[Any]) -> dict[str, Any]:
    from benchbench.contract import DatasetPlugin as Dataset  # noqa: PLC0415 as above

    plugin: DatasetPlugin | ModelPlugin = installed.plugin
    common = {"name": plugin.name, "source": plugin.source, "from": str(installed.origin)}
    if isinstance(plugin, Dataset):
        had = {"licence": plugin.download.licence, "page": plugin.download.page}
        return {**common, "parameters": parameter_signatures(plugin.open), **had, "about": about(plugin.open)}
    ndims = {"ndims": sorted(plugin.ndims), "licence": plugin.licence}
    return {**common, "parameters": parameter_signatures(plugin.build), **ndims, "about": about(plugin.build)}


def _signature(parameters: dict[str, str]) -> str:
    return ", ".join(f"{name}: {kind}" for name, kind in parameters.items()) or "no parameters"
