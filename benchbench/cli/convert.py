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
    click.echo(convert_weights(model, file))


def convert_weights(model: str, file: Path) -> str:
    """Convert weights and return the name to use in a benchmark file.

    Raises:
        DataError: the file cannot be converted.
        UsageError: the model has no published weights.
    """
    from benchbench.errors import BenchbenchError, DataError, UsageError  # noqa: PLC0415 after --help has answered
    from benchbench.images.input_files import FileFault, regular_size  # noqa: PLC0415
    from benchbench.registry.registry import discover  # noqa: PLC0415

    plugin = discover().model(model)
    if plugin.convert is None:
        raise UsageError(
            f"convert {model}: this model has no published weights to start from; 'benchbench list' shows others"
        )
    try:
        if file.exists() or file.is_symlink():
            regular_size(file, kind="a file of published weights")
        return plugin.convert(file)
    except FileFault as fault:
        raise DataError(f"{file}: {fault}") from fault
    except (BenchbenchError, OSError):
        raise
    except Exception as error:  # a plugin may raise anything
        lines = str(error).splitlines() or [""]
        finding = f"found weights that {model} cannot convert ({type(error).__name__}: {lines[0]})"
        raise DataError(f"{file}: {finding}, expected a published file; download it again") from error
