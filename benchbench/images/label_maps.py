"""Reads label maps of any tool: NIfTI, TIFF, PNG and, where pynrrd is installed, NRRD."""

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
    """Whole numbers, one a voxel, and where they lie."""

    voxels: NDArray[Any]
    """(*space), two or three axes, unsigned."""
    affine: Floats | None
    """(4, 4) voxel to world in mm; None where the format knows none."""
    spacing_mm: tuple[float, ...] | None
    """Voxel size along each array axis; None where unknown."""


def read_label_map(path: Path) -> LabelMap:
    """The label map of a file; the name tells the format.

    Raises:
        DataError: "<path>: found ..., expected ...; what to do".
    """
    suffix = suffix_of(path.name)
    if suffix is None:
        known = ", ".join(READERS)
        raise DataError(f"{path}: found a name of an unknown format, expected {known}; convert it to one of them")
    return READERS[suffix](path)


def suffix_of(name: str) -> str | None:
    """The ending by which a label map's format is known, in small letters; None where it is none."""
    return next((suffix for suffix in READERS if name.lower().endswith(suffix)), None)


def _read_nifti(path: Path) -> LabelMap:
    volume = read_label(path)
    return LabelMap(volume.voxels, volume.affine, volume.spacing_mm)


def _read_tiff(path: Path) -> LabelMap:
    import tifffile  # noqa: PLC0415 only what reads TIFF

    try:
        with tifffile.TiffFile(path) as file:
            voxels, samples = file.asarray(), file.pages[0].samplesperpixel
    except (OSError, ValueError, IndexError, tifffile.TiffFileError) as error:
        raise _unreadable(path, "a TIFF file", error) from error
    if samples > 1:
        raise _coloured(path, samples)
    return LabelMap(_labels(path, voxels), None, None)


def _read_png(path: Path) -> LabelMap:
    import cv2  # noqa: PLC0415 only what reads PNG

    try:
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise _unreadable(path, "a PNG file", error) from error
    voxels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if len(content) else None
    if voxels is None:
        raise _unreadable(path, "a PNG file", "not a PNG, or damaged")
    if voxels.ndim == 3:
        raise _coloured(path, voxels.shape[-1])
    return LabelMap(_labels(path, voxels), None, None)


def _read_nrrd(path: Path) -> LabelMap:
    try:
        import nrrd  # noqa: PLC0415 an optional package
    except ImportError as error:
        raise DataError(f"{path}: NRRD needs a package that is not installed; pip install pynrrd") from error
    try:
        voxels, header = nrrd.read(str(path))
    except (OSError, ValueError, StopIteration, nrrd.NRRDError) as error:  # the last but one: of an empty file
        raise _unreadable(path, "an NRRD file", error) from error
    return LabelMap(_labels(path, voxels), *_nrrd_place(path, header))


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
    directions = header.get("space directions")
    if directions is None:
        spacings = header.get("spacings")
        return None, None if spacings is None else tuple(float(size) for size in spacings)
    axes = np.array(directions, dtype=np.float64)
    if not np.isfinite(axes).all():
        raise DataError(
            f"{path}: found axes without a direction in space, expected one label map; store one a file"
        )
    spacing = tuple(np.linalg.norm(axes, axis=1).tolist())
    if axes.shape != (3, 3):
        return None, spacing
    # NRRD says in which direction its world runs; NIfTI's runs to the right, to the front and up
    turn = {"left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1)}.get(str(header.get("space", "")).lower())
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes.T, header.get("space origin", np.zeros(3))
    return np.diag([*(turn or (1, 1, 1)), 1]) @ affine, spacing


def _labels(path: Path, voxels: NDArray[Any]) -> NDArray[Any]:
    """In the smallest unsigned type; no probabilities."""
    if voxels.ndim not in {2, 3}:
        raise DataError(
            f"{path}: found shape {voxels.shape}, expected two or three axes; store one label map a file"
        )
    if voxels.dtype.kind == "f":
        whole = np.rint(voxels)
        if not np.isfinite(voxels).all() or (np.abs(whole - voxels) > 1e-4).any():
            raise DataError(
                f"{path}: found fractional values, expected whole numbers; save labels, not probabilities"
            )
        voxels = whole
    is_number = voxels.dtype.kind in "buif" and voxels.size
    if not is_number or voxels.min() < 0 or voxels.max() > LARGEST_LABEL:
        found = f"{voxels.dtype} from {voxels.min()} to {voxels.max()}" if is_number else f"{voxels.dtype}"
        raise DataError(f"{path}: found {found}, expected labels from 0 to {LARGEST_LABEL}; write it anew")
    return voxels.astype(np.min_scalar_type(int(voxels.max())))


def _coloured(path: Path, samples: int) -> DataError:
    return DataError(f"{path}: found {samples} samples a pixel, expected one; save the label values, not colours")


def _unreadable(path: Path, expected: str, why: object) -> DataError:
    said = str(why).splitlines()[0] if str(why) else type(why).__name__
    return DataError(f"{path}: found a file that cannot be read ({said}), expected {expected}; write it anew")
