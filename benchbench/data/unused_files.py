"""Files in the folder of a dataset that belong to no case: they are named, so that no case is missed unnoticed."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from benchbench.contract import CaseRef, Dataset
from benchbench.data.phantom import MARKER
from benchbench.errors import DataError
from benchbench.words import count

_OURS = {MARKER, "DOWNLOAD.json"}


def unused_files(folder: Path, used: Iterable[Path], *, only_similar: bool = False) -> list[str]:
    """Return the files below a folder that are not among `used`, as paths with # in place of numbers.

    Files that differ only in numbers are one entry with their count, and so is a folder of which no file is used.
    With `only_similar`, files that end like none of the used ones are left out.
    """
    root = os.path.normpath(folder)
    used_paths = {os.path.normpath(path) for path in used}
    used_folders = {str(parent) for path in used_paths for parent in Path(path).parents}
    endings = {_ending(path) for path in used_paths} if only_similar else None
    counts: Counter[str] = Counter()
    for place, folders, names in os.walk(root):
        for name in names:
            path = os.path.join(place, name)  # noqa: PTH118 a hundred thousand files
            is_ours = place == root and name in _OURS
            if path not in used_paths and not is_ours and (endings is None or _ending(path) in endings):
                counts[_pattern(path, root)] += 1
        for name in sorted(folders):
            path = os.path.join(place, name)  # noqa: PTH118
            if path not in used_folders:
                folders.remove(name)
                counts[f"{_pattern(path, root)}/"] += _count_files(path, endings)
    return [f"{pattern} ({count(number, 'file')})" for pattern, number in sorted(counts.items()) if number]


def files_of_no_case(
    dataset: Dataset, cases: Sequence[CaseRef], folder: Path, *, only_similar: bool = False
) -> list[str]:
    """Return the entries of `unused_files` for a dataset; [] if the files of a case are not known."""
    used: list[Path] = []
    try:
        for case in cases:
            used += dataset.files(case.id)
    except DataError:  # reported as a problem of the case
        return []
    return unused_files(folder, used, only_similar=only_similar)


def _ending(path: str) -> str:
    """Return the part of a file's name after the first dot."""
    return Path(path).name.lower().partition(".")[2]


def _pattern(path: str, root: str) -> str:
    return re.sub(r"\d+", "#", Path(path).relative_to(root).as_posix())


def _count_files(folder: str, endings: Container[str] | None) -> int:
    total = 0
    for _, _, names in os.walk(folder):
        total += sum(endings is None or _ending(name) in endings for name in names)
    return total
