"""Holds a dataset against every rule: on a phantom that it writes, or on files that are there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchbench.contract import DatasetPlugin
from benchbench.testing.case_rules import Files, case_rules
from benchbench.testing.dataset_rules import Recipe, plugin_rules
from benchbench.testing.report import Report, judge


def check_dataset(
    plugin: DatasetPlugin, root: Path | None = None, params: Mapping[str, Any] | None = None
) -> None:
    """Nothing, if the dataset keeps every rule, on the files under `root` or else on a phantom of its own.

    Raises:
        ConformanceError: with every rule that is broken and how to mend it, a line each.
    """
    examine_dataset(plugin, root, params).require()


def examine_dataset(
    plugin: DatasetPlugin, root: Path | None = None, params: Mapping[str, Any] | None = None
) -> Report:
    """What becomes of every rule; those of the cases look at the first few."""
    with tempfile.TemporaryDirectory() as scratch, _files(plugin, root, Path(scratch)) as folder:
        recipe = Recipe(plugin, params or {}, Path(scratch))
        outcomes = list(judge(plugin_rules(), recipe, where="plugin"))
        where = "phantom" if root is None else str(root)
        outcomes += judge(case_rules(), Files(recipe, folder), where=where)
    return Report(plugin=plugin.name, outcomes=tuple(outcomes))


@contextmanager
def _files(plugin: DatasetPlugin, root: Path | None, scratch: Path) -> Iterator[Path]:
    """The folder given, or one with a phantom; where none can be written, a rule tells of it."""
    if root is not None:
        yield root
        return
    folder = scratch / "phantom"
    folder.mkdir()
    with suppress(Exception):  # the rule of the phantom tells of it
        plugin.phantom(folder, patients=3, size=32, seed=0)
    yield folder
