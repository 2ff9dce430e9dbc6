"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from benchbench.cli import default_cache

F = TypeVar("F", bound=Callable[..., Any])

file_argument = click.argument("file", type=click.Path(path_type=Path))
results_option = click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Where results go.",
)
data_root_option = click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    envvar="BENCHBENCH_DATA",
    help="Folder with one folder per dataset; also BENCHBENCH_DATA.",
)
cache_option = click.option(
    "--cache",
    type=click.Path(path_type=Path),
    default=default_cache,
    help="Prepared and phantom data; also BENCHBENCH_CACHE.",
)

pictures_option = click.option(
    "--no-pictures", is_flag=True, help="Leave out galleries, which show patients, and remove those there are."
)
params_option = click.option(
    "--set", "overrides", multiple=True, metavar="NAME=VALUE", help="A parameter of the factory, e.g. width=8."
)


def benchmark_options(command: F) -> F:
    """What says which runs of a benchmark are meant."""
    options = [
        click.option("--rehearse", is_flag=True, help="Phantom data and the small settings of [rehearse]."),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="PATH=VALUE",
            help="Change the file, e.g. protocol.epochs=2.",
        ),
        click.option(
            "--only", multiple=True, metavar="KEY=VALUE", help="Only these runs, e.g. model=unet,fold=0."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def read_params(factory: Callable[..., Any], overrides: tuple[str, ...]) -> dict[str, Any]:
    """Every parameter of a plugin's factory, with those that `--set name=value` gives.

    Raises:
        UsageError: with every parameter that is unknown or of another type.
    """
    from benchbench.errors import UsageError  # noqa: PLC0415
    from benchbench.registry.parameters import check_params, resolve_params  # noqa: PLC0415
    from benchbench.spec.document import parse_value  # noqa: PLC0415 after --help has answered

    given = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            raise UsageError(f"--set {override}: no '='; write it like --set width=8")
        given[name.strip()] = parse_value(text)
    if problems := check_params(factory, given):
        raise UsageError(*(f"--set {name}: {message}" for name, message in problems))
    return resolve_params(factory, given)
