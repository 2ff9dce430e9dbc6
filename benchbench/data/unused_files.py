"""Files in the folder of a dataset that belong to no case: they are named, so that no case is missed unnoticed."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from benchbench.contract import CaseRef, Dataset
from benchbench.data.phantom import MARKER
from benchbench.errors import DataError
from benchbench.words import count

_OURS = frozenset({MARKER, "DOWNLOAD.json"})


def unused_files(folder: Path, used: Iterable[Path], *, only_similar: bool = False) -> list[str]:
    """Return the files below a folder that are not among `used`, as paths with # in place of numbers.

    Files that differ only in numbers are one entry with their count, and so is a folder of which no file is used.
    With `only_similar`, files that end like none of the used ones are left out.
    """
    used_paths = {os.path.normpath(path) for path in used}
    endings = {_ending(path) for path in used_paths} if only_similar else None
    counts: Counter[str] = Counter()
    root = os.path.normpath(folder)
    for path, number in _unused(root, used_paths, endings):
        pattern = re.sub(r"\d+", "#", Path(path).relative_to(root).as_posix())
        counts[pattern + "/" * Path(path).is_dir()] += number
    return [f"{pattern} ({count(number, 'file')})" for pattern, number in sorted(counts.items())]


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


def _unused(root: str, used: AbstractSet[str], endings: AbstractSet[str] | None) -> Iterator[tuple[str, int]]:
    """Yield each unused file, and each folder without a used file with the number of its files."""
    used_folders = {str(parent) for path in used for parent in Path(path).parents}
    for place, folders, names in os.walk(root):
        ours = _paths(root, _OURS)
        for path in sorted(set(_paths(place, names)).difference(used, ours)):
            if _is_counted(path, endings):
                yield path, 1
        yield from _counts_of(sorted(set(_paths(place, folders)) - used_folders), endings)
        folders[:] = [name for name in folders if f"{place}{os.sep}{name}" in used_folders]  # the others are done


def _counts_of(folders: Iterable[str], endings: AbstractSet[str] | None) -> Iterator[tuple[str, int]]:
    for folder in folders:
        number = _count_files(folder, endings)
        if number:
            yield folder, number


def _paths(place: str, names: Iterable[str]) -> list[str]:
    return [f"{place}{os.sep}{name}" for name in names]


def _ending(path: str) -> str:
    """Return the part of a file's name after the first dot."""
    return Path(path).name.lower().partition(".")[2]


def _is_counted(name: str, endings: AbstractSet[str] | None) -> bool:
    return endings is None or _ending(name) in endings


def _count_files(folder: str, endings: AbstractSet[str] | None) -> int:
    total = 0
    for _, _, names in os.walk(folder):
        total += sum(_is_counted(name, endings) for name in names)
    return total
