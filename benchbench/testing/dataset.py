"""Applies every rule to a dataset: on a phantom that it writes, or on existing files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchbench.contract import DatasetPlugin
from benchbench.registry.parameters import resolve_params
from benchbench.testing.case_rules import Files, case_rules
from benchbench.testing.dataset_rules import Recipe, plugin_rules
from benchbench.testing.report import Report, judge


def check_dataset(
    plugin: DatasetPlugin, root: Path | None = None, params: Mapping[str, Any] | None = None
) -> None:
    """Return if the dataset passes every rule, on the files under `root` or else on its own phantom.

    Raises:
        ConformanceError: with one line per fault and how to fix it.
    """
    examine_dataset(plugin, root, params).require()


def examine_dataset(
    plugin: DatasetPlugin, root: Path | None = None, params: Mapping[str, Any] | None = None
) -> Report:
    """Return the outcome of every rule; the rules about cases use the first few cases only.

    Without files and without a phantom there are no cases, and only the rules about the plugin are applied.
    """
    where = "phantom" if root is None else str(root)
    with tempfile.TemporaryDirectory() as scratch, _data_folder(plugin, root, Path(scratch)) as folder:
        recipe = Recipe(plugin, _with_described(plugin, folder, params or {}), Path(scratch))
        outcomes = list(judge(plugin_rules(), recipe, where="plugin"))
        if root is not None or plugin.phantom is not None:
            outcomes += judge(case_rules(), Files(recipe, folder), where=where)
    return Report(plugin=plugin.name, outcomes=tuple(outcomes))


def _with_described(plugin: DatasetPlugin, folder: Path, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters, and in place of defaults those that the files give."""
    if plugin.describe is None:
        return params
    defaults = resolve_params(plugin.open, {})
    changed = {key: value for key, value in params.items() if value != defaults[key]}
    with suppress(Exception):  # the rules about cases report what is wrong with the files
        return {**resolve_params(plugin.open, plugin.describe(folder)), **changed}
    return params


@contextmanager
def _data_folder(plugin: DatasetPlugin, root: Path | None, scratch: Path) -> Iterator[Path]:
    """Yield the given folder, or a new one with a phantom as far as the plugin can write it."""
    if root is not None:
        yield root
        return
    folder = scratch / "phantom"
    folder.mkdir()
    with suppress(Exception):  # the rule 'phantom' reports it
        if plugin.phantom is not None:
            plugin.phantom(folder, patients=3, size=32, seed=0)
    yield folder
