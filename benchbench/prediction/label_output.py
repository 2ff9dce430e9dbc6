"""Names and writes the label files of a predicted case."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchbench.data.atomic import write_atomic
from benchbench.errors import UsageError
from benchbench.images.arrays import Floats
from benchbench.images.label_files import Labels, label_content, label_suffix
from benchbench.images.label_maps import stem_of
from benchbench.prediction.inputs import ImageCase
from benchbench.spec.file_names import is_slug, slug

Existing = Literal["refuse", "skip", "overwrite"]


@dataclass(frozen=True, kw_only=True)
class Output:
    """The folder for predictions, and the choice of what is written to it."""

    into: Path
    suffix: str = ""
    """Text between the name of a case and the ending of its label file."""
    existing: Existing = "refuse"
    """Rule for label files that exist."""
    pictures: bool = False
    probabilities: bool = False

    def __post_init__(self) -> None:
        if not is_slug(f"case{self.suffix}"):
            raise UsageError(
                f"--suffix {self.suffix}: found '{self.suffix}', expected a part of a file name, such as _seg"
            )

    def label_paths(self, case: ImageCase, shape: Sequence[int]) -> list[Path]:
        """Return the label files of a case with an image of this shape: one, or one for each file with a slice.

        A slice file keeps its name, with that of the case in front unless it begins with it.
        """
        if case.has_plane_files and len(shape) == 3 and len(case.files) == shape[0]:
            return [self._path(_slice_name(case, path), path) for path in case.files]
        return [self._path(slug(case.id), case.files[0])]

    def other_paths(self, case: ImageCase) -> list[Path]:
        """Return the further files of a case that are asked for."""
        paths = []
        if self.pictures:
            paths.append(self.picture_path(case))
        if self.probabilities:
            paths.append(self.probability_path(case))
        return paths

    def picture_path(self, case: ImageCase) -> Path:
        return self.into / "pictures" / f"{slug(case.id)}.png"

    def probability_path(self, case: ImageCase) -> Path:
        return self.into / "probabilities" / f"{slug(case.id)}.npz"

    def _path(self, name: str, image: Path) -> Path:
        return self.into / f"{name}{self.suffix}{label_suffix(image)}"


def existing_files(paths: Sequence[Path], case: ImageCase, existing: Existing) -> list[Path]:
    """Return the files that exist, which may be kept or overwritten.

    Raises:
        UsageError: they exist and may not, or one is a file of the image itself.
    """
    present = [path for path in paths if path.exists()]
    images = {path.resolve() for path in case.files}
    for path in present:
        if path.resolve() in images:
            raise UsageError(f"{path}: is the image itself, not replaced; give another folder to --into")
        if existing == "refuse":
            raise UsageError(
                f"{path}: exists, not replaced; give another folder, --existing skip or --existing overwrite"
            )
    return present


def write_labels(paths: Sequence[Path], case: ImageCase, labels: Labels, *, affine: Floats | None) -> None:
    """Write label values (*space) of a case to one file, or slice by slice to several.

    Raises:
        StorageError: a file cannot be written.
    """
    if len(paths) == 1:
        write_atomic(paths[0], label_content(labels, case.files[0], affine=affine))
        return
    for path, image, plane in zip(paths, case.files, labels, strict=True):
        write_atomic(path, label_content(np.ascontiguousarray(plane), image, affine=None))


def write_probabilities(path: Path, probabilities: Mapping[str, NDArray[Any]]) -> None:
    """Write float32 arrays (*space) by region, or class of a softmax, as an .npz file."""
    content = io.BytesIO()
    np.savez_compressed(content, **probabilities)  # type: ignore[arg-type]
    write_atomic(path, content.getvalue())


def _slice_name(case: ImageCase, path: Path) -> str:
    stem = slug(stem_of(path.name))
    if stem.startswith(slug(case.id)):
        return stem
    return f"{slug(case.id)}_{stem}"
