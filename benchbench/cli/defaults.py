"""Defaults of options from files: one of the user for all projects, and one in the current folder, which wins.

A file has the long names of options without dashes, such as `data_root = "~/data"` or `jobs = 2`. Options on the
command line and variables of the environment win over both files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import click

FILE = "benchbench.toml"
NAMES = (
    "data_root",
    "results",
    "cache",
    "device",
    "per_device",
    "jobs",
    "compile",
    "launch",
    "threads",
    "no_pictures",
)
"""The options that can have a default: those of the machine, and none that changes more than the rounding."""
VARIABLES = {
    "data_root": "BENCHBENCH_DATA",
    "results": "BENCHBENCH_RESULTS",
    "cache": "BENCHBENCH_CACHE",
    "device": "BENCHBENCH_DEVICE",
    "jobs": "BENCHBENCH_JOBS",
    "compile": "BENCHBENCH_COMPILE",
}
_PATHS = ("data_root", "results", "cache")
_GROUPS = ("data",)
_PARAMETERS = {
    "launch": "launch_text",
    "compile": "compile_steps",
}  # of the commands, where the name is another one


class Default(NamedTuple):
    """A default that is not that of benchbench."""

    name: str
    value: Any
    origin: str
    """The file or the variable that gives it."""


def default_files() -> list[Path]:
    """Return the files that exist, the one that wins last."""
    import click  # noqa: PLC0415 after --help has answered

    files = [Path(click.get_app_dir("benchbench")) / FILE, Path(FILE)]
    return [file for file in files if file.is_file()]


def read_defaults() -> dict[str, Default]:
    """Return option -> its default from the files; {} without a file.

    Raises:
        SpecError: a file is not TOML, or has a name or a kind of value that no option has.
    """
    defaults: dict[str, Default] = {}
    for file in default_files():
        for name, value in _read(file).items():
            defaults[name] = Default(name, _absolute(name, value, file), str(file))
    return defaults


def environment_defaults() -> list[Default]:
    """Return the defaults that variables of the environment give."""
    values = {name: os.environ.get(variable) for name, variable in VARIABLES.items()}
    return [Default(name, value, VARIABLES[name]) for name, value in values.items() if value]


def default_map(defaults: Mapping[str, Default], group: click.Group, context: click.Context) -> dict[str, Any]:
    """Return the defaults for every command of a group, as click takes them.

    An option that a command lacks is ignored.
    """
    import click  # noqa: PLC0415 as above

    values = {_PARAMETERS.get(name, name): default.value for name, default in defaults.items()}
    commands: dict[str, Any] = {}
    for name in group.list_commands(context):
        # the commands of `data` are below a group of their own
        command = group.get_command(context, name) if name in _GROUPS else None
        if isinstance(command, click.Group):
            commands[name] = default_map(defaults, command, context)
        else:
            commands[name] = values
    return commands


def _read(file: Path) -> dict[str, Any]:
    from benchbench.errors import SpecError  # noqa: PLC0415 as above
    from benchbench.spec.document import nearest, read_document  # noqa: PLC0415

    content = dict(read_document(file).data)
    for name, value in content.items():
        if name not in NAMES:
            raise SpecError(f"{file}: {name}: no such option can have a default; {nearest(name, NAMES)}")
        if not isinstance(value, str | int):
            raise SpecError(f"{file}: {name}: found {value!r}, expected a text, a number, true or false")
    return content


def _absolute(name: str, value: Any, file: Path) -> Any:
    """Return a folder as seen from the file; other values unchanged."""
    if name not in _PATHS or not isinstance(value, str):
        return value
    return str(file.parent / Path(value).expanduser())
