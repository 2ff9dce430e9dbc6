"""What is asked of every dataset before it has files, and of the phantom that it writes."""

from __future__ import annotations

import hashlib
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


def _bytes(root: Path) -> dict[str, str]:
    """Path -> SHA-256 of every file."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }
