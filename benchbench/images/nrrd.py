"""Reads NRRD files with pynrrd, an optional package."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchbench.errors import DataError
from benchbench.extras import require_extra
from benchbench.images.arrays import Floats
from benchbench.images.input_files import COMPRESSION, COPY_AGAIN, FileFault, check_size, read_file

Header = Mapping[str, Any]


class NrrdVolume(NamedTuple):
    """The voxels of a file and their position in the world."""

    voxels: NDArray[Any]
    affine: Floats | None
    """(4, 4) matrix from voxel indices to world coordinates in mm; None if the header has none."""
    spacing_mm: tuple[float, ...] | None
    """Voxel size in mm along each array axis; None if the header has none."""


def read_nrrd(path: Path) -> NrrdVolume:
    """Read an NRRD file that holds header and voxels.

    Raises:
        DataError: "<path>: found ..., expected ...; what to do", or pynrrd is not installed.
    """
    require_extra("nrrd", f"{path}: NRRD", error=DataError)
    return read_file(path, _read, kind="an NRRD file")


def _read(path: Path) -> NrrdVolume:
    import nrrd  # noqa: PLC0415 an extra

    size = path.stat().st_size
    check_size(size, f"an NRRD file of {size:,} bytes")
    with path.open("rb") as file:
        header = nrrd.read_header(file)
        _check_content(header, most_bytes=size * COMPRESSION)
        voxels = nrrd.read_data(header, file)
    affine, spacing_mm = _place(header)
    return NrrdVolume(voxels, affine, spacing_mm)


def _check_content(header: Header, *, most_bytes: int) -> None:
    """Raise FileFault before voxels are read from another file, or memory is allocated for too many."""
    if "data file" in header or "datafile" in header:
        raise FileFault(
            "found a header whose voxels are in another file", "one file", "save header and voxels in one"
        )
    sizes = [int(length) for length in header["sizes"]]
    nbytes = math.prod(sizes)
    described = f"{nbytes:,} voxels of shape {tuple(sizes)}"
    check_size(nbytes, described)
    if min(sizes) < 1 or nbytes > most_bytes:
        raise FileFault(f"found {described} in a smaller file", "a whole NRRD file", COPY_AGAIN)


def _place(header: Header) -> tuple[Floats | None, tuple[float, ...] | None]:
    """Return the affine and the spacing, each None if the header does not have it."""
    directions = header.get("space directions")
    if directions is None:
        spacings = header.get("spacings")
        if spacings is None:
            return None, None
        return None, tuple(float(size) for size in spacings)
    axes = np.array(directions, dtype=np.float64)
    if not np.isfinite(axes).all():
        raise FileFault("found axes without a direction in space", "one label map", "store one per file")
    spacing_mm = tuple(np.linalg.norm(axes, axis=1).tolist())
    if axes.shape != (3, 3):
        return None, spacing_mm
    affine = np.eye(4)
    affine[:3, :3] = axes.T
    affine[:3, 3] = header.get("space origin", np.zeros(3))
    # the axes of NIfTI's world point right, anterior and superior; NRRD names the directions of its own
    if str(header.get("space", "")).lower() in {"left-posterior-superior", "lps"}:
        affine = np.diag([-1, -1, 1, 1]) @ affine
    return affine, spacing_mm
