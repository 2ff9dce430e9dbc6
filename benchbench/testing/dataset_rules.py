"""What is asked of every dataset before it has files, and of the phantom that it writes."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbench.contract import Dataset, DatasetPlugin
from benchbench.errors import DataNotFoundError
from benchbench.testing.documentation import undocumented
from benchbench.testing.report import Rule, fault, some

_SIZES = ((1, 32), (2, 49), (2, 64))
"""Patients and pixels along an axis that any phantom can have."""


@dataclass(frozen=True)
class Recipe:
    """A dataset plugin, and a folder to write into."""

    plugin: DatasetPlugin
    params: Mapping[str, Any]
    scratch: Path

    def open(self, root: Path) -> Dataset:
        return self.plugin.open(root, **self.params)

    def phantom(self, name: str, *, patients: int = 2, size: int = 32, seed: int = 0) -> Path:
        """A new phantom in a folder of that name."""
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.plugin.phantom(folder, patients=patients, size=size, seed=seed)
        return folder


def plugin_rules() -> Iterator[Rule[Recipe]]:
    """The rules that need no files."""
    yield Rule("opens", "opening reads nothing and tells the task", opens)
    yield Rule("documented", "every parameter has a type, a default and a meaning", documented)
    yield Rule("phantom", "a phantom of any size has as many patients as asked for", phantom)
    yield Rule("repeats", "one seed writes the same bytes, another others", repeats)
    yield Rule("not found", "a folder without cases is a DataNotFoundError", not_found)


def opens(recipe: Recipe) -> Iterator[str]:
    task = recipe.open(recipe.scratch / "nowhere").task
    if not task.channels or len(set(task.channels)) < len(task.channels):
        yield fault(f"channels are {task.channels}", "one or more of different names", "name each")
    if not task.regions:
        yield fault("there are no regions", "one or more", "say which label values each consists of")
    for name, values in task.regions.items():
        if not values or 0 in values:
            yield fault(f"region '{name}' is {values}", "label values other than 0", "0 is the background")
    for name, colour in task.colours.items():
        if name not in task.regions or not re.fullmatch("#[0-9a-f]{6}", colour):
            yield fault(
                f"colour of '{name}' is {colour}", "a region's, as #rrggbb", "correct the name or the colour"
            )


def documented(recipe: Recipe) -> Iterator[str]:
    yield from undocumented(recipe.plugin.open)
    for name in ("licence", "page"):
        if not getattr(recipe.plugin.download, name).strip():
            yield fault(f"download.{name} is empty", "a few words", "say how the files are had")


def phantom(recipe: Recipe) -> Iterator[str]:
    for patients, size in _SIZES:
        root = recipe.phantom("size", patients=patients, size=size)
        found = {case.patient for case in recipe.open(root).cases()}
        if len(found) != patients:
            yield fault(
                f"{patients} patients of size {size}: found {len(found)}", f"{patients}", "write that many"
            )


def repeats(recipe: Recipe) -> Iterator[str]:
    first, again, other = (_bytes(recipe.phantom(f"seed{n}", seed=seed)) for n, seed in enumerate((0, 0, 1)))
    if changed := sorted(name for name in first.keys() | again.keys() if first.get(name) != again.get(name)):
        mend = "draw from numpy.random.default_rng(seed) only, and write no time or host"
        yield fault(f"the same seed gives other bytes in {some(changed)}", "the same", mend)
    if first == other:
        yield fault("another seed gives the same bytes", "others", "draw from numpy.random.default_rng(seed)")


def not_found(recipe: Recipe) -> Iterator[str]:
    empty = recipe.scratch / "empty"
    empty.mkdir(exist_ok=True)
    try:
        found = recipe.open(empty).cases()
    except DataNotFoundError:
        return
    yield fault(
        f"an empty folder has cases {list(found)[:2]}", "a DataNotFoundError", "raise it where there are none"
    )


def _bytes(root: Path) -> dict[str, str]:
    """Path -> SHA-256 of every file."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }
