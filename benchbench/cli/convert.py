"""`benchbench convert`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("convert")
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path))
def convert_command(model: str, file: Path) -> None:
    """Make published weights of MODEL in FILE ready for use, and print the name that a benchmark gives them.

    Nothing in FILE is run: what is not plain tensors is refused.
    """
    from benchbench.errors import UsageError  # noqa: PLC0415 after --help has answered
    from benchbench.registry.registry import discover  # noqa: PLC0415

    plugin = discover().model(model)
    if plugin.convert is None:
        raise UsageError(
            f"convert {model}: this model starts from no published weights; 'benchbench list' shows others"
        )
    click.echo(plugin.convert(file))
