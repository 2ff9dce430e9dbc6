"""`benchbench schema`."""

from __future__ import annotations

import json

import click


@click.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of a benchmark file, with the type, default and description of each key.

    Editors that read it complete and explain the keys. `benchbench check` finds more errors, such as wrong
    parameters of a model.
    """
    from benchbench.registry.file_schema import file_schema  # noqa: PLC0415 after --help has answered

    click.echo(json.dumps(file_schema(), indent=2))
