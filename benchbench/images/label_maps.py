"""Reads label maps written by any tool: NIfTI, TIFF, PNG and, if pynrrd is installed, NRRD."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from benchbench.errors import DataError
from benchbench.images.arrays import Floats
from benchbench.images.input_files import FileFault
from benchbench.images.label_values import as_labels
from benchbench.images.nifti import read_label
from benchbench.images.nrrd import read_nrrd


class LabelMap(NamedTuple):
    """One whole number for each voxel, and the position of the voxels in the world."""

    voxels: NDArray[Any]
    """(*space) with two or three axes, of an unsigned type."""
    affine: Floats | None
    """(4, 4) matrix from voxel indices to world coordinates in mm; None if the format does not store one."""
    spacing_mm: tuple[float, ...] | None
    """Voxel size in mm along each array axis; None if unknown."""


def read_label_map(path: Path) -> LabelMap:
    """Read the label map of a file; the suffix of the name decides the format.

    Raises:
        DataError: "<path>: found ..., expected ...; what to do".
    """
    suffix = known_suffix(path)
    stored = READERS[suffix](path)
    if suffix in {".nii", ".nii.gz"}:  # read_label has checked the values
        return stored
    try:
        return stored._replace(voxels=_as_label_map(stored.voxels))
    except FileFault as fault:
        raise DataError(f"{path}: {fault}") from None


def known_suffix(path: Path) -> str:
    """Return the suffix of a file that can be read.

    Raises:
        DataError: the format is not a known one.
    """
    suffix = suffix_of(path.name)
    if suffix is None:
        known = ", ".join(READERS)
        raise DataError(f"{path}: found a name of an unknown format, expected {known}; convert it to one of them")
    return suffix


def suffix_of(name: str) -> str | None:
    """Return the suffix of a label map's name in lower case; None if it is not a known one."""
    return next((suffix for suffix in READERS if name.lower().endswith(suffix)), None)


def stem_of(name: str) -> str:
    """Return the name of a label map without its suffix; a name of an unknown format stays whole."""
    return name[: len(name) - len(suffix_of(name) or "")]


def _read_nifti(path: Path) -> LabelMap:
    volume = read_label(path)
    return LabelMap(volume.voxels, volume.affine, volume.spacing_mm)


def _read_tiff(path: Path) -> LabelMap:
    from benchbench.images.tiff import read_tiff  # noqa: PLC0415 needed only for TIFF

    pixels = read_tiff(path)
    if pixels.samples > 1:
        raise DataError(
            f"{path}: found {pixels.samples} samples per pixel, expected one; save the label values, not colours"
        )
    return LabelMap(pixels.values, None, None)


def _read_png(path: Path) -> LabelMap:
    from benchbench.images.png import read_png  # noqa: PLC0415 needed only for PNG

    return LabelMap(read_png(path), None, None)


def _read_nrrd(path: Path) -> LabelMap:
    return LabelMap(*read_nrrd(path))


READERS: dict[str, Callable[[Path], LabelMap]] = {
    ".nii.gz": _read_nifti,
    ".nii": _read_nifti,
    ".tiff": _read_tiff,
    ".tif": _read_tiff,
    ".png": _read_png,
    ".seg.nrrd": _read_nrrd,
    ".nrrd": _read_nrrd,
}


def _as_label_map(voxels: NDArray[Any]) -> NDArray[Any]:
    if voxels.ndim not in {2, 3}:
        raise FileFault(f"found shape {voxels.shape}", "two or three axes", "store one label map per file")
    return as_labels(voxels)
