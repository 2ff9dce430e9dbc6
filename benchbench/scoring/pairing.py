"""The pairs of reference and prediction files, matched by name."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from benchbench.errors import DataError, DataNotFoundError
from benchbench.images.label_maps import READERS, stem_of, suffix_of

Files = dict[str, Path]
"""Case -> label map."""


def pair_files(reference: Path, prediction: Path) -> tuple[Files, Files]:
    """Return the references and the predictions by case.

    A case is named for its file without the suffix; two single files are one case, named for the reference.

    Raises:
        DataError: one path is a file and the other a folder, or a folder has no label map or two of one case.
    """
    for path in (reference, prediction):
        if not path.exists():
            raise DataNotFoundError(f"{path}: no such file or folder; give label maps or folders of label maps")
    if reference.is_dir() != prediction.is_dir():
        raise DataError(
            f"{reference} and {prediction}: found a file and a folder, expected two files or two folders"
        )
    if reference.is_dir():
        return files_in(reference), files_in(prediction)
    case = stem_of(reference.name)
    return {case: reference}, {case: prediction}


def files_in(folder: Path) -> Files:
    """Return the label maps of a folder by case.

    Raises:
        DataError: there are none, or two of one case.
    """
    files: Files = {}
    duplicates = []
    for path in _label_maps(folder):
        first = files.setdefault(stem_of(path.name), path)
        if first != path:
            duplicates.append(f"{path}: found {first.name} as well, expected one file per case; move one away")
    if duplicates:
        raise DataError(*duplicates)
    if not files:
        suffixes = ", ".join(READERS)
        raise DataNotFoundError(
            f"{folder}: found no label map, expected {suffixes}; give the folder that has them"
        )
    return files


def unread_entries(path: Path) -> list[str]:
    """Return the names of files and folders in a folder that are not read as label maps; [] for a single file."""
    if not path.is_dir():
        return []
    read = set(_label_maps(path))
    unread = [entry for entry in sorted(path.iterdir()) if entry not in read]
    return [entry.name + "/" * entry.is_dir() for entry in unread]


def missing_problem(name: str, where: str, others: Sequence[str]) -> str:
    """Return the problem of a case without a prediction, with the nearest of the predictions without a case."""
    problem = f"{name}: no prediction in {where}"
    close = get_close_matches(name, others, n=1, cutoff=0.5)
    related = [other for other in others if name in other or other in name]
    nearest_name = next(iter([*related, *close]), None)
    if nearest_name is None:
        return problem
    return f"{problem}; the nearest name there is {nearest_name}: give both the same name"


def _label_maps(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if _is_label_map(path)]


def _is_label_map(path: Path) -> bool:
    return not path.name.startswith(".") and suffix_of(path.name) is not None and not path.is_dir()
