"""Reads label maps written by any tool: NIfTI, TIFF, PNG and, if pynrrd is installed, NRRD."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchbench.errors import DataError
from benchbench.images.arrays import Floats
from benchbench.images.nifti import LARGEST_LABEL, read_label

Header = Mapping[str, Any]


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
    suffix = suffix_of(path.name)
    if suffix is None:
        known = ", ".join(READERS)
        raise DataError(f"{path}: found a name of an unknown format, expected {known}; convert it to one of them")
    return READERS[suffix](path)


def suffix_of(name: str) -> str | None:
    """Return the suffix of a label map's name in lower case; None if it is not a known one."""
    return next((suffix for suffix in READERS if name.lower().endswith(suffix)), None)


def _read_nifti(path: Path) -> LabelMap:
    volume = read_label(path)
    return LabelMap(volume.voxels, volume.affine, volume.spacing_mm)


def _read_tiff(path: Path) -> LabelMap:
    import tifffile  # noqa: PLC0415 needed only for TIFF

    try:
        with tifffile.TiffFile(path) as file:
            voxels, samples = file.asarray(), file.pages[0].samplesperpixel
    except (OSError, ValueError, IndexError, tifffile.TiffFileError) as error:
        raise _unreadable(path, "a TIFF file", error) from error
    if samples > 1:
        raise _coloured(path, samples)
    return LabelMap(_as_labels(path, voxels), None, None)


def _read_png(path: Path) -> LabelMap:
    import cv2  # noqa: PLC0415 needed only for PNG

    try:
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise _unreadable(path, "a PNG file", error) from error
    voxels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if len(content) else None
    if voxels is None:
        raise _unreadable(path, "a PNG file", "not a PNG, or damaged")
    if voxels.ndim == 3:
        raise _coloured(path, voxels.shape[-1])
    return LabelMap(_as_labels(path, voxels), None, None)


def _read_nrrd(path: Path) -> LabelMap:
    try:
        import nrrd  # noqa: PLC0415 an optional package
    except ImportError as error:
        raise DataError(f"{path}: NRRD needs a package that is not installed; pip install pynrrd") from error
    try:
        voxels, header = nrrd.read(str(path))
    except (OSError, ValueError, StopIteration, nrrd.NRRDError) as error:  # StopIteration: an empty file
        raise _unreadable(path, "an NRRD file", error) from error
    affine, spacing_mm = _nrrd_place(path, header)
    return LabelMap(_as_labels(path, voxels), affine, spacing_mm)


READERS: dict[str, Callable[[Path], LabelMap]] = {
    ".nii.gz": _read_nifti,
    ".nii": _read_nifti,
    ".tiff": _read_tiff,
    ".tif": _read_tiff,
    ".png": _read_png,
    ".seg.nrrd": _read_nrrd,
    ".nrrd": _read_nrrd,
}


def _nrrd_place(path: Path, header: Header) -> tuple[Floats | None, tuple[float, ...] | None]:
    """Return the affine and the spacing, each None if the header does not have it."""
    directions = header.get("space directions")
    if directions is None:
        spacings = header.get("spacings")
        if spacings is None:
            return None, None
        return None, tuple(float(size) for size in spacings)
    axes = np.array(directions, dtype=np.float64)
    if not np.isfinite(axes).all():
        raise DataError(
            f"{path}: found axes without a direction in space, expected one label map; store one per file"
        )
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


def _as_labels(path: Path, voxels: NDArray[Any]) -> NDArray[Any]:
    """Return the voxels in the smallest unsigned type; refuse probabilities and values that are no labels."""
    if voxels.ndim not in {2, 3}:
        raise DataError(
            f"{path}: found shape {voxels.shape}, expected two or three axes; store one label map per file"
        )
    if voxels.dtype.kind == "f":
        whole = np.rint(voxels)
        if not np.isfinite(voxels).all() or (np.abs(whole - voxels) > 1e-4).any():
            raise DataError(
                f"{path}: found fractional values, expected whole numbers; save labels, not probabilities"
            )
        voxels = whole
    if voxels.dtype.kind not in "buif" or not voxels.size:
        raise _no_labels(path, f"{voxels.dtype}")
    lowest, highest = voxels.min(), voxels.max()
    if lowest < 0 or highest > LARGEST_LABEL:
        raise _no_labels(path, f"{voxels.dtype} from {lowest} to {highest}")
    return voxels.astype(np.min_scalar_type(int(highest)))


def _no_labels(path: Path, finding: str) -> DataError:
    return DataError(f"{path}: found {finding}, expected labels from 0 to {LARGEST_LABEL}; write the file again")


def _coloured(path: Path, samples: int) -> DataError:
    return DataError(
        f"{path}: found {samples} samples per pixel, expected one; save the label values, not colours"
    )


def _unreadable(path: Path, expected: str, reason: object) -> DataError:
    lines = str(reason).splitlines()
    summary = lines[0] if lines else type(reason).__name__
    return DataError(
        f"{path}: found a file that cannot be read ({summary}), expected {expected}; write the file again"
    )
