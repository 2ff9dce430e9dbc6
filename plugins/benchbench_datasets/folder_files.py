"""The files of own images, grouped by case, and what is missing or ambiguous."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from benchbench import DataError
from benchbench_datasets.case_files import nearest_name
from benchbench_datasets.name_pattern import NamePattern

Key = tuple[str, str]
"""(patient, case), '' for a field that the patterns do not have."""


@dataclass
class CaseFiles:
    """The files of a case: pattern -> slice -> path below the root; the slice is '' where files are no slices."""

    values: Mapping[str, str]
    """Field -> value, without the slice."""
    paths: dict[NamePattern, dict[str, str]] = field(default_factory=dict)

    def slices(self) -> list[str]:
        """Return the slices of all files in the order of their numbers."""
        names = {name for by_slice in self.paths.values() for name in by_slice}
        return sorted(names, key=lambda name: (int(name or 0), name))


@dataclass(frozen=True)
class FoundFiles:
    """The cases of a folder."""

    cases: dict[Key, CaseFiles]
    problems: list[str]
    """Files that cannot be assigned to one case."""


def find_files(root: Path, patterns: Sequence[NamePattern]) -> FoundFiles:
    """Return the cases of a folder; of several patterns that fit a file, the one with the longest text counts."""
    grouped = FoundFiles({}, [])
    # a file name may fit the pattern of images and that of masks: x_mask.png fits {case}.png
    by_length = sorted(patterns, key=lambda pattern: -pattern.literal_length)
    for path in _paths(root):
        try:
            _add(grouped.cases, path, by_length)
        except DataError as error:
            grouped.problems.extend(error.problems)
    return grouped


def _paths(root: Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, except hidden ones, in order."""
    for place, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(place).relative_to(root)
        for name in sorted(names):
            if not name.startswith("."):
                yield (relative / name).as_posix()


def _add(cases: dict[Key, CaseFiles], path: str, patterns: Sequence[NamePattern]) -> None:
    """Add a file to its case; a file that fits no pattern is left to the report of unused files."""
    for pattern in patterns:
        values = pattern.match(path)
        if values is None:
            continue
        key = (values.get("patient", ""), values.get("case", ""))
        fields = {name: value for name, value in values.items() if name != "slice"}
        case = cases.setdefault(key, CaseFiles(fields))
        other = case.paths.setdefault(pattern, {}).setdefault(values.get("slice", ""), path)
        if other != path:
            raise DataError(f"{path}: found {other} for the same case, expected one file; move one away")
        return


def missing_files(
    case: CaseFiles, patterns: Sequence[NamePattern], kinds: Sequence[str], names: Sequence[str]
) -> Iterator[str]:
    """Yield a problem for each file that a case lacks; `kinds` says what each pattern names, such as "mask"."""
    slices = case.slices()
    for pattern, kind in zip(patterns, kinds, strict=True):
        by_slice = case.paths.get(pattern, {})
        for name in slices:
            if name in by_slice:
                continue
            expected = pattern.fill({**case.values, "slice": name})
            present = next(paths[name] for paths in case.paths.values() if name in paths)
            fault = f"{present}: found no {kind} for it, expected {expected}; add it or move the file away"
            yield fault + nearest_name(expected, names)
    yield from _uneven_slices(case, slices)


def _uneven_slices(case: CaseFiles, slices: Sequence[str]) -> Iterator[str]:
    """Yield a problem if a slice between others is missing."""
    numbers = [int(name) for name in slices if name]
    steps = {later - earlier for earlier, later in pairwise(numbers)}
    if len(steps) > 1:
        step = min(steps)
        missing = sorted(set(range(numbers[0], numbers[-1], step or 1)) - set(numbers))
        first = next(path for by_slice in case.paths.values() for path in by_slice.values())
        absent = ", ".join(map(str, missing[:4])) or "in between"
        yield f"{first}: found no slice {absent} of its case, expected every slice; add the files"
