"""The launcher that `--launch` names, with the options of its file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchbench.errors import SpecError, UsageError
from benchbench.launchers import PROCESS, LauncherPlugin
from benchbench.registry.parameters import check_params, resolve_params
from benchbench.registry.registry import Registry


class ChosenLauncher(NamedTuple):
    """A launcher with all of its options."""

    plugin: LauncherPlugin
    options: Mapping[str, Any]


def choose_launcher(text: str, registry: Registry) -> ChosenLauncher | None:
    """Return the launcher of `NAME` or `NAME:options.toml`; None for worker processes of this machine.

    Raises:
        PluginError: there is no launcher of this name, or a package that it needs is not installed.
        SpecError: the file cannot be read, or an option is unknown or has a wrong value.
        UsageError: there is a file for the launcher that has no options.
    """
    name, _, file = text.partition(":")
    if name == PROCESS:
        if file:
            raise UsageError(
                f"--launch {text}: '{PROCESS}' has no options file; use --jobs, --device and --per-device"
            )
        return None
    plugin = registry.launcher(name)
    options = _read_options(Path(file)) if file else {}
    problems: list[str] = []
    for key, problem in check_params(plugin.launch, options):
        place = f"{file}: {key}" if key else file or f"--launch {name}"
        problems.append(f"{place}: {problem}")
    if problems:
        raise SpecError(*problems)
    return ChosenLauncher(plugin, resolve_params(plugin.launch, options))


def _read_options(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}; correct the path after --launch NAME:") from error
    except ValueError as error:
        raise SpecError(f"{path}: not a TOML file ({error}); write lines such as max_jobs = 4") from error
