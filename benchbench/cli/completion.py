"""Completion of plugin names in the shell."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def complete_datasets(context: click.Context, argument: click.Parameter, begun: str) -> list[CompletionItem]:  # noqa: ARG001 click's signature
    """Return the installed datasets whose name begins with `begun`."""
    from benchbench.registry.registry import discover  # noqa: PLC0415 the shell asks for it only here

    return [CompletionItem(name) for name in sorted(discover().datasets) if name.startswith(begun)]


def complete_plugins(context: click.Context, argument: click.Parameter, begun: str) -> list[CompletionItem]:  # noqa: ARG001 click's signature
    """Return the installed datasets and models whose name begins with `begun`; without any, files."""
    from benchbench.registry.registry import discover  # noqa: PLC0415 as above

    registry = discover()
    names = sorted({*registry.datasets, *registry.models})
    items = [CompletionItem(name) for name in names if name.startswith(begun)]
    return items or [CompletionItem(begun, type="file")]
