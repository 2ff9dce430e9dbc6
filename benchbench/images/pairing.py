"""Pairs of images and labels by the names of their files, for plugins of datasets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchbench.errors import DataError, DataNotFoundError
from benchbench.images.label_maps import stem_of

_MOST_NAMES = 5


class FilePair(NamedTuple):
    """The files of a case."""

    image: Path
    label: Path


def pair_files(root: Path, *, images: str, labels: str) -> Mapping[str, FilePair]:
    """Return the name of each case, without the ending of its files, and its two files, in the order of the names.

    `images` and `labels` are patterns of `Path.glob` below the root; an image and its label have one name.

    Raises:
        DataNotFoundError: no file fits the pattern of the images.
        DataError: an image has no label, a label no image, or two files have one name.
    """
    image_of = _by_name(root, images)
    label_of = _by_name(root, labels)
    if not image_of:
        raise DataNotFoundError(f"{root.name}: found no {images} in {root}; correct the folder or the data root")
    problems: list[str] = []
    for names, others, kind in ((image_of, label_of, "label"), (label_of, image_of, "image")):
        missing = [str(path.relative_to(root)) for name, path in names.items() if name not in others]
        if missing:
            listed = ", ".join(missing[:_MOST_NAMES]) + " and others" * (len(missing) > _MOST_NAMES)
            problems.append(f"{root.name}: found no {kind} for {listed}; add it or move the file away")
    if problems:
        raise DataError(*problems)
    return {name: FilePair(path, label_of[name]) for name, path in image_of.items()}


def _by_name(root: Path, pattern: str) -> dict[str, Path]:
    by_name: dict[str, Path] = {}
    for path in sorted(root.glob(pattern)):
        other = by_name.setdefault(stem_of(path.name), path)
        if other != path:
            raise DataError(f"{root.name}: {path.name}: found {other.name} of the same name; move one away")
    return by_name
