"""Rules for a dataset plugin that need no existing files, and for the phantom that it writes."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbench.contract import Dataset, DatasetPlugin, Task
from benchbench.errors import DataNotFoundError
from benchbench.plan.problems import label_problems
from benchbench.testing.documentation import documentation_faults
from benchbench.testing.report import Rule, SkipRuleError, abbreviate, fault
from benchbench.words import count

_PHANTOM_SIZES = ((1, 32), (2, 49), (2, 64))
"""Numbers of patients, and of pixels along an axis, that every phantom must support."""


@dataclass(frozen=True)
class Recipe:
    """A dataset plugin with its parameters, and a folder to write into."""

    plugin: DatasetPlugin
    params: Mapping[str, Any]
    scratch: Path

    def open(self, root: Path) -> Dataset:
        return self.plugin.open(root, **self.params)

    def phantom(self, name: str, *, patients: int = 2, size: int = 32, seed: int = 0) -> Path:
        """Write a phantom to the folder `name`, in place of what is there, and return the folder.

        Raises:
            SkipRuleError: the plugin has no phantom.
        """
        if self.plugin.phantom is None:
            raise SkipRuleError("the plugin has no phantom")
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.plugin.phantom(folder, patients=patients, size=size, seed=seed)
        return folder


def plugin_rules() -> Iterator[Rule[Recipe]]:
    """Yield the rules that need no files."""
    yield Rule("opens", "opening reads no file and gives the task", opening_faults)
    yield Rule("documented", "every parameter has a type, a default and a description", description_faults)
    yield Rule("phantom", "a phantom of any size has the requested number of patients", phantom_faults)
    yield Rule("repeats", "the same seed writes the same bytes, another seed writes others", repetition_faults)
    yield Rule("not found", "a folder without cases raises a DataNotFoundError", not_found_faults)


def opening_faults(recipe: Recipe) -> Iterator[str]:
    task = recipe.open(recipe.scratch / "nowhere").task
    if not task.channels or len(set(task.channels)) < len(task.channels):
        yield fault(f"channels are {task.channels}", "one or more, with different names", "name every channel")
    if not task.regions:
        yield fault("there are no regions", "one or more", "list the label values of every region")
    for name, values in task.regions.items():
        if not values or 0 in values:
            yield fault(f"region '{name}' is {values}", "label values other than 0", "0 is the background")
    for problem in label_problems(task):
        yield fault(problem, "labels that fit into bit masks", "correct the task")
    yield from _colour_faults(task)


def _colour_faults(task: Task) -> Iterator[str]:
    for name, colour in task.colours.items():
        if name not in task.regions or not re.fullmatch("#[0-9a-f]{6}", colour):
            finding = f"colour of '{name}' is {colour}"
            yield fault(finding, "a colour of a region, as #rrggbb", "correct the name or the colour")


def description_faults(recipe: Recipe) -> Iterator[str]:
    yield from documentation_faults(recipe.plugin.open)
    for name in ("licence", "page"):
        if not getattr(recipe.plugin.download, name).strip():
            yield fault(f"download.{name} is empty", "a few words", "describe how to get the files")


def phantom_faults(recipe: Recipe) -> Iterator[str]:
    for requested, size in _PHANTOM_SIZES:
        root = recipe.phantom("size", patients=requested, size=size)
        patients = {case.patient for case in recipe.open(root).cases()}
        if len(patients) != requested:
            finding = f"{count(requested, 'patient')} of size {size}: found {len(patients)}"
            yield fault(finding, f"{requested}", "write that many")


def repetition_faults(recipe: Recipe) -> Iterator[str]:
    first = _digests(recipe.phantom("first", seed=0))
    repeated = _digests(recipe.phantom("repeated", seed=0))
    other = _digests(recipe.phantom("other", seed=1))
    if changed := _differing_keys(first, repeated):
        advice = "draw from numpy.random.default_rng(seed) only, and write no time or host"
        yield fault(f"the same seed gives other bytes in {abbreviate(changed)}", "the same bytes", advice)
    if first == other:
        advice = "draw from numpy.random.default_rng(seed)"
        yield fault("another seed gives the same bytes", "other bytes", advice)


def not_found_faults(recipe: Recipe) -> Iterator[str]:
    empty = recipe.scratch / "empty"
    empty.mkdir(exist_ok=True)
    try:
        cases = recipe.open(empty).cases()
    except DataNotFoundError:
        return
    finding = f"an empty folder has cases {list(cases)[:2]}"
    yield fault(finding, "a DataNotFoundError", "raise it if there are no cases")


def _digests(root: Path) -> dict[str, str]:
    """Return path -> SHA-256 of every file."""
    digests = {}
    for path in root.rglob("*"):
        if path.is_file():
            digests[path.relative_to(root).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests


def _differing_keys(first: Mapping[str, str], second: Mapping[str, str]) -> list[str]:
    keys = first.keys() | second.keys()
    return sorted(key for key in keys if first.get(key) != second.get(key))
