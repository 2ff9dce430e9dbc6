"""`benchbench list`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from benchbench.cli.json_output import document_of, format_option

if TYPE_CHECKING:
    from benchbench.registry.registry import Broken, Installed, Plugin, Registry

_Entry = dict[str, Any]
_FIRST_KINDS = ("datasets", "models", "launchers")
_EXTENSIONS = ("losses", "metrics", "transforms", "optimizers", "schedules", "reporters")
"""Kinds of plugins that a protocol or the command line names."""
_NAME = 26
"""Width of the column of names."""


@click.command("list")
@click.argument("kind", type=click.Choice([*_FIRST_KINDS, *_EXTENSIONS]), required=False)
@format_option
@click.option("--markdown", is_flag=True, help="Models: print a page with the cost of each and published counts.")
def list_command(*, kind: str | None, output_format: str, markdown: bool) -> None:
    """List the installed datasets, models and other plugins, and those that cannot be used."""
    from benchbench.registry.registry import discover  # noqa: PLC0415 after --help has answered

    if markdown:
        _print_models_page(discover(), kind)
        return
    with document_of("list", output_format) as document:
        registry = discover()
        kinds = [kind] if kind else [*_FIRST_KINDS, *_EXTENSIONS]
        catalogue = {name: _entries(registry, name) for name in kinds}
        unavailable = [_broken_entry(broken) for broken in registry.broken]
        if not document.is_json:
            _print(catalogue, unavailable)
        document.content = {**catalogue, "unavailable": unavailable}


def _print_models_page(registry: Registry, kind: str | None) -> None:
    from benchbench.cli.models_page import models_page  # noqa: PLC0415 imports torch
    from benchbench.errors import UsageError  # noqa: PLC0415

    if kind != "models":
        raise UsageError("--markdown prints a page of models; write benchbench list models --markdown")
    click.echo(models_page(registry.models), nl=False)


def _print(catalogue: Mapping[str, Sequence[_Entry]], unavailable: Sequence[_Entry]) -> None:
    from benchbench.cli.terminal import print_text  # noqa: PLC0415 printing only

    for title, entries in catalogue.items():
        if not entries and title in _EXTENSIONS and len(catalogue) > 1:
            continue
        click.echo(title)
        for entry in entries:
            print_text(f"  {entry['name']:<{_NAME}} {_signature(entry['parameters'])}", indent=_NAME + 3)
            print_text(f"  {'':<{_NAME}} {entry['source']}  [{entry['from']}]", indent=_NAME + 3)
    for entry in unavailable:
        if entry["needs"]:
            print_text(f"unavailable: {entry['name']:<{_NAME}} needs: {entry['needs']}")
        else:
            print_text(f"unavailable: {entry['name']}: {entry['reason']}  [{entry['from']}]")


def _entries(registry: Registry, kind: str) -> list[_Entry]:
    by_kind: dict[str, Mapping[str, Installed[Any]]] = {
        "datasets": registry.datasets,
        "models": registry.models,
        "launchers": registry.launchers,
        **registry.extensions,
    }
    plugins = by_kind[kind]
    return [_entry(plugins[name]) for name in sorted(plugins)]


def _entry(installed: Installed[Any]) -> _Entry:
    """Return what `--format json` prints of a plugin."""
    from benchbench.contract import DatasetPlugin as Dataset  # noqa: PLC0415 as above
    from benchbench.contract import MetricPlugin  # noqa: PLC0415
    from benchbench.contract import ModelPlugin as Model  # noqa: PLC0415
    from benchbench.launchers import LauncherPlugin as Launcher  # noqa: PLC0415
    from benchbench.registry.descriptions import about, parameter_signatures  # noqa: PLC0415
    from benchbench.registry.kinds import factory_of  # noqa: PLC0415

    plugin: Plugin = installed.plugin
    entry: _Entry = {"name": plugin.name, "source": plugin.source, "from": str(installed.origin)}
    if isinstance(plugin, Dataset):
        entry["parameters"] = parameter_signatures(plugin.open)
        entry["licence"] = plugin.download.licence
        entry["page"] = plugin.download.page
        entry["about"] = about(plugin.open)
    elif isinstance(plugin, Launcher):
        entry["parameters"] = parameter_signatures(plugin.launch)
        entry["about"] = about(plugin.launch)
    elif not isinstance(plugin, Model):
        entry["parameters"] = parameter_signatures(factory_of(plugin))
        entry["about"] = about(factory_of(plugin))
        if isinstance(plugin, MetricPlugin):
            entry["range"] = plugin.range
            entry["is_lower_better"] = plugin.is_lower_better
    else:
        entry["parameters"] = parameter_signatures(plugin.build)
        entry["ndims"] = sorted(plugin.ndims)
        entry["licence"] = plugin.licence
        entry["about"] = about(plugin.build)
    return entry


def _broken_entry(broken: Broken) -> _Entry:
    needs = broken.advice if broken.is_optional else ""
    reason = f"{broken.reason}; {broken.advice}"
    return {"name": broken.name, "from": str(broken.origin), "reason": reason, "needs": needs}


def _signature(parameters: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {kind}" for name, kind in parameters.items()) or "no parameters"
