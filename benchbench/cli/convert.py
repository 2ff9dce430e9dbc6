"""`benchbench convert`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("convert")
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path))
def convert_command(model: str, file: Path) -> None:
    """Convert published weights of MODEL in FILE, and print the name to use in a benchmark file.

    No code of FILE is executed: a file that holds anything but plain tensors is refused.
    """
    from benchbench.errors import UsageError  # noqa: PLC0415 after --help has answered
    from benchbench.registry.registry import discover  # noqa: PLC0415

    plugin = discover().model(model)
    if plugin.convert is None:
        raise UsageError(
            f"convert {model}: this model has no published weights to start from; 'benchbench list' shows others"
        )
    click.echo(plugin.convert(file))
