"""Every command with its arguments and options, from click."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import click

_INTRODUCTION = """# Commands

All commands with their options, as `benchbench COMMAND --help` prints them.
"""
_WIDTH = 100


def commands_page() -> str:
    """Return the page in Markdown."""
    from benchbench.cli import CommandGroup, cli  # noqa: PLC0415 it is complete only after its package is imported

    settings = {**cli.context_settings, "terminal_width": _WIDTH, "max_content_width": _WIDTH}
    context = click.Context(cli, info_name="benchbench", **settings)
    assert isinstance(cli, CommandGroup)
    parts = [_INTRODUCTION]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None, f"{name} is one of the commands"
        parts += _sections(command, click.Context(command, parent=context, info_name=name))
    return "".join(parts)


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the section of a command, then those of the commands below it."""
    described = copy.copy(command)
    described._help_option = None  # noqa: SLF001 a command keeps the one of its first context, which may be another
    yield f"\n## {context.command_path}\n\n```text\n{described.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from _sections(below, click.Context(below, parent=context, info_name=name))
