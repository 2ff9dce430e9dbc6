"""A prepared case in the cache: its arrays, and how they relate to the case on its own grid.

    <cache>/prepared/<k2>/<key>/
        image.npy       2D (S, C, *patch), 3D (C, *volume): uint8 or float16
        label.npy       bit masks: bit k is set where region k of the task is, and bit 7 alone where a voxel is
                        ignored; 2D (S, *patch), 3D the whole case, or the resampled volume
        native.npy      bit masks (S, H, W) of the whole case, where slices were resized or cropped, or a volume
                        resampled
        foreground.npy  3D only: indices (N, 3) of labelled voxels of the volume, some of each region
        scored.npy      only with ignored voxels: 3D indices (N, 3) of voxels that are scored, 2D (N,) the slices
                        that have one
        reader0.npy     only with several readers: bit masks (S, H, W) of the whole case of each of them
        case.json       how the arrays relate to the case, their sizes and digests, and its own digest

A user can ask for compression: then the arrays are in arrays.npz, which takes less disk and more memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchbench.contract import CaseRef
from benchbench.data.atomic import write_atomic
from benchbench.data.checksums import content_problem, file_size_problem, folder_checksums, size_problem
from benchbench.engine.preparation.frame import Frame
from benchbench.engine.preparation.placement import Placement
from benchbench.engine.preparation.resample import Grid
from benchbench.errors import DataError
from benchbench.images.arrays import BitMasks, Floats, Mask

_DESCRIPTION = "case.json"
_COMPRESSED = "arrays.npz"
_REMEDY = "the same command prepares the case again"


@dataclass(frozen=True)
class PreparedCase:
    """A case in the cache.

    Every access maps an array into memory; changes to it stay private. Compressed arrays are read at every access.
    Every access raises DataError where a file is missing or has another size than when it was written.
    """

    case: CaseRef
    folder: Path

    def image(self) -> NDArray[Any]:
        """Return the image, (S, C, *patch) or (C, *volume), uint8 or float16."""
        return self._read("image")

    def label(self) -> BitMasks:
        """Return the bit masks of the prepared image, (S, *patch) or (*volume)."""
        stored = self._read("label")
        return stored if self.placement or self.grid else self.frame.crop(stored)

    def native_label(self) -> BitMasks:
        """Return the bit masks (S, H, W) of the whole case, in the axes of `frame`."""
        return self._read("native" if "native" in self._description["arrays"] else "label")

    def foreground(self) -> NDArray[np.int32]:
        """Return the indices (N, 3) of labelled voxels of the volume; 3D only."""
        return self._read("foreground")

    def scored(self) -> NDArray[np.int32] | None:
        """Return the slices that have a scored voxel (N,), or in 3D indices (N, 3) of scored voxels.

        None for a case without ignored voxels.
        """
        return self._read("scored") if "scored" in self._description["arrays"] else None

    @cached_property
    def frame(self) -> Frame:
        """The relation of the volume, or of the stack of slices, to the case."""
        stored = self._description["frame"]
        return Frame(*[_to_tuples(stored[field]) for field in Frame._fields])

    @cached_property
    def placement(self) -> Placement | None:
        """The position of a slice in the patch; None in 3D."""
        stored = self._description["placement"]
        if not stored:
            return None
        return Placement(*[tuple(stored[field]) for field in Placement._fields])

    @cached_property
    def grid(self) -> Grid | None:
        """The voxels of a volume before and after resampling; None in 2D, and without resampling."""
        stored = self._description.get("grid")
        if stored is None:
            return None
        return Grid(*[_to_tuples(stored[field]) for field in Grid._fields])

    @property
    def space(self) -> tuple[int, ...]:
        """The size of the prepared volume, or of the stack of slices."""
        cropped = tuple(stop - start for start, stop in self.frame.box)
        if self.placement:
            return (cropped[0], *self.placement.scaled)
        return self.grid.size if self.grid else cropped

    @property
    def is_resized(self) -> bool:
        """True where slices are resized to fit the patch, or voxels have another size than in the case."""
        if self.grid is not None:
            return self.grid.size != self.grid.native
        return self.placement is not None and self.placement.scaled != self.placement.native

    @property
    def affine(self) -> Floats | None:
        """The affine from the case's own axes to mm; None where unknown."""
        stored = self._description["affine"]
        return None if stored is None else np.array(stored)

    @property
    def spacing_mm(self) -> tuple[float, ...] | None:
        """The spacing along the axes of `frame`; None where unknown."""
        stored = self._description["spacing_mm"]
        if stored is None:
            return None
        return tuple(stored[axis] for axis in self.frame.axes)

    def voxel_digest(self) -> str:
        """Return the SHA-256 of the prepared image, which does not depend on the names of files."""
        return str(self._description["voxels"])

    @property
    def present_bits(self) -> int:
        """A number whose bit k is set if the case has a voxel of region k."""
        return int(self._description["present"])

    def reader_labels(self) -> dict[str, BitMasks]:
        """Return reader -> bit masks (S, H, W) of the whole case; {} for a case with one label."""
        names = self._description.get("readers", [])
        return {name: self._read(f"reader{number}") for number, name in enumerate(names)}

    @property
    def unlabelled_bits(self) -> int:
        """A number whose bit k is set if region k is not labelled in the case: it is not learnt and not scored."""
        return int(self._description.get("unlabelled", 0))

    def labelled(self, regions: int) -> Mask:
        """Return (K,), False for each of so many regions that is not labelled in the case."""
        return (self.unlabelled_bits >> np.arange(regions)) & 1 == 0

    @property
    def remarks(self) -> tuple[str, ...]:
        """Lines about the case that a user should read before training."""
        return tuple(self._description["remarks"])

    def damage(self, *, of_content: bool) -> str:
        """Return a line about the first file that is not as it was written; '' where there is none.

        Sizes are compared, which reads no array; with `of_content`, digests as well.
        """
        try:
            checksums = self._checksums
        except DataError as error:
            return error.problems[0]
        if of_content:
            return content_problem(self.folder, checksums)
        return size_problem(self.folder, checksums)

    def _read(self, name: str) -> NDArray[Any]:
        is_compressed = _COMPRESSED in self._checksums
        file = _COMPRESSED if is_compressed else f"{name}.npy"
        path = self.folder / file
        size, _ = self._checksums[file]
        problem = file_size_problem(path, size)
        if problem:
            raise DataError(f"{problem}; {_REMEDY}")
        if not is_compressed:
            return np.load(path, mmap_mode="c")
        with np.load(path) as arrays:
            array: NDArray[Any] = arrays[name]
            return array

    @property
    def _checksums(self) -> dict[str, tuple[int, str]]:
        return {name: (size, digest) for name, (size, digest) in self._description["files"].items()}

    @cached_property
    def _description(self) -> dict[str, Any]:
        """The content of case.json.

        Raises:
            DataError: the file is missing or was changed.
        """
        path = self.folder / _DESCRIPTION
        try:
            description: dict[str, Any] = json.loads(path.read_bytes())
            digest = description.pop("digest")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: missing or damaged ({type(error).__name__}); {_REMEDY}") from error
        if digest != _digest(description):
            raise DataError(f"{path}: changed since it was written; {_REMEDY}")
        return description


def write_description(folder: Path, description: Mapping[str, Any]) -> None:
    """Write case.json with the checksums of the arrays, which are in the folder already."""
    complete = {**description, "files": folder_checksums(folder)}
    write_atomic(folder / _DESCRIPTION, json.dumps({**complete, "digest": _digest(complete)}).encode())


def _digest(description: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def _to_tuples(stored: Any) -> Any:
    """Return JSON's nested lists as nested tuples."""
    if isinstance(stored, list):
        return tuple(_to_tuples(item) for item in stored)
    return stored
