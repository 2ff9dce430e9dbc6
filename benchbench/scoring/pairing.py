"""Which prediction belongs to which reference."""

from __future__ import annotations

from pathlib import Path

from benchbench.errors import DataError, DataNotFoundError
from benchbench.images.label_maps import READERS, suffix_of

Cases = dict[str, Path]


def pair(reference: Path, prediction: Path) -> tuple[Cases, Cases]:
    """Case -> file on either side; a case is a file's name without its ending, or the one file whatever its name.

    Raises:
        DataError: a file for a folder, nothing to score, or two files of one case.
    """
    for path in (reference, prediction):
        if not path.exists():
            raise DataNotFoundError(f"{path}: no such file or folder; name label maps or folders of them")
    if reference.is_dir() != prediction.is_dir():
        raise DataError(f"{reference} and {prediction}: found a file and a folder, expected two of a kind")
    if reference.is_dir():
        return cases_in(reference), cases_in(prediction)
    name = _case_of(reference)
    return {name: reference}, {name: prediction}


def cases_in(folder: Path) -> Cases:
    """The label maps of a folder.

    Raises:
        DataError: there are none, or two of one case.
    """
    found: Cases = {}
    twice = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or suffix_of(path.name) is None or path.is_dir():
            continue
        first = found.setdefault(_case_of(path), path)
        if first != path:
            twice.append(f"{path}: found {first.name} beside it, expected one file a case; move the other away")
    if twice:
        raise DataError(*twice)
    if not found:
        raise DataNotFoundError(f"{folder}: found no label map, expected {', '.join(READERS)}; name their folder")
    return found


def _case_of(path: Path) -> str:
    suffix = suffix_of(path.name)
    return path.name[: -len(suffix)] if suffix else path.name
