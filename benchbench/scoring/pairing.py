"""The pairs of reference and prediction files, matched by name."""

from __future__ import annotations

from pathlib import Path

from benchbench.errors import DataError, DataNotFoundError
from benchbench.images.label_maps import READERS, suffix_of

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
    case = _case_of(reference)
    return {case: reference}, {case: prediction}


def files_in(folder: Path) -> Files:
    """Return the label maps of a folder by case.

    Raises:
        DataError: there are none, or two of one case.
    """
    files: Files = {}
    duplicates = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_dir() or suffix_of(path.name) is None:
            continue
        first = files.setdefault(_case_of(path), path)
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


def _case_of(path: Path) -> str:
    suffix = suffix_of(path.name) or ""
    return path.name[: len(path.name) - len(suffix)]
