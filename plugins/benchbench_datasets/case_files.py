"""The NIfTI files of a case: names, order, reading, and messages that name the dataset and the file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchbench import DataError
from benchbench.images.input_files import read_text
from benchbench.images.nifti import Volume, check_same_grid, other_values

T = TypeVar("T")
SUFFIXES = (".nii.gz", ".nii")
COPY_AGAIN = "copy it from the archive again"

_MOST_LISTED = 4
"""Number of unexpected label values that a message lists one by one."""


def natural_order(name: str) -> tuple[list[int], str]:
    """Return a sort key that puts pat2 before pat10."""
    return [int(digits) for digits in re.findall(r"\d+", name)], name


def file_problem(path: Path, fault: str, *, dataset: str, root: Path) -> str:
    """Return "<dataset>: <path from the root>: <fault>"."""
    return f"{dataset}: {path.relative_to(root).as_posix()}: {fault}"


def read_named(root: Path, read: Callable[..., T], *arguments: object, **options: object) -> T:
    """Return what a reader returns; its errors get the name of the dataset and paths below its root."""
    try:
        return read(*arguments, **options)
    except DataError as error:
        problems = [problem.replace(f"{root}/", "", 1) for problem in error.problems]
        raise DataError(*(f"{root.name}: {problem}" for problem in problems)) from error


def nearest_name(expected: str, names: Iterable[str]) -> str:
    """Return "; the nearest name there is <name>" for the name that is most like the expected one; '' for none."""
    close = get_close_matches(expected, list(names), n=1, cutoff=0.7)
    return f"; the nearest name there is {close[0]}: rename it if that is the file" if close else ""


def second_copy_fault(name: str) -> str:
    """Return the fault of a file that is there with both suffixes; `name` is the other file."""
    return f"found {name} as well, expected only one of the two; move one of them away"


def read_table(path: Path, *, dataset: str, root: Path) -> str:
    """Return the text of a table of patients; '' if there is none.

    Raises:
        DataError: the file cannot be read.
    """
    if not path.exists() and not path.is_symlink():
        return ""
    try:
        return read_text(path, kind="a table of patients", errors="backslashreplace")
    except DataError as error:
        problems = [problem.removeprefix(f"{path}: ") for problem in error.problems]
        raise DataError(*(file_problem(path, fault, dataset=dataset, root=root) for fault in problems)) from error


def split_rows(text: str, *, delimiter: str) -> list[list[str]]:
    """Return the rows of a table that are not empty.

    Raises:
        csv.Error: the text is no table.
    """
    return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]


def read_volumes(
    readers: Mapping[Path, Callable[[Path], Volume]],
    *,
    dataset: str,
    root: Path,
    label_faults: Callable[[Volume], Iterable[str]],
) -> list[Volume]:
    """Return the volumes of the files of one case, of which the last is the label.

    `readers` maps each file to the function that reads it.

    Raises:
        DataError: with every fault of the files.
    """
    volumes, errors = _read_all(readers)
    problems: list[str] = []
    for path, error in errors.items():
        faults = [problem.removeprefix(f"{path}: ") for problem in error.problems]
        problems += [file_problem(path, fault, dataset=dataset, root=root) for fault in faults]
    volumes_by_name = {path.relative_to(root).as_posix(): volume for path, volume in volumes.items()}
    problems += [f"{dataset}: {problem}" for problem in check_same_grid(volumes_by_name)]
    label = list(readers)[-1]
    if label in volumes:
        problems += [
            file_problem(label, fault, dataset=dataset, root=root) for fault in label_faults(volumes[label])
        ]
    if problems:
        raise DataError(*problems) from next(iter(errors.values()), None)
    return list(volumes.values())


def _read_all(
    readers: Mapping[Path, Callable[[Path], Volume]],
) -> tuple[dict[Path, Volume], dict[Path, DataError]]:
    """Return the volumes of the files that can be read, and the errors of the others."""
    volumes: dict[Path, Volume] = {}
    errors: dict[Path, DataError] = {}
    for path, read in readers.items():
        try:
            volumes[path] = read(path)
        except DataError as error:
            errors[path] = error
    return volumes, errors


def unexpected_label_faults(label: Volume, *, allowed: Collection[int], advice: Mapping[int, str]) -> list[str]:
    """Return one fault with the values that are not allowed and their counts, or nothing.

    `advice` says what to do about a value; without any, the file is to be copied again.
    """
    values, counts = np.unique(other_values(label.voxels, allowed), return_counts=True)
    if not values.size:
        return []
    listed = [_label_count(value, count) for value, count in zip(values.tolist(), counts.tolist(), strict=True)]
    unexpected = ", ".join(listed[:_MOST_LISTED])
    if len(listed) > _MOST_LISTED:
        unexpected += f" and {len(listed) - _MOST_LISTED} more"
    remedies = dict.fromkeys(advice[value] for value in values.tolist() if value in advice)
    remedy = "; ".join(remedies) or COPY_AGAIN
    expected = ", ".join(str(value) for value in sorted(allowed))
    return [f"found unexpected labels {unexpected}, expected only {expected}; {remedy}"]


def _label_count(value: int, count: int) -> str:
    unit = "voxel" if count == 1 else "voxels"
    return f"{value} ({count} {unit})"
