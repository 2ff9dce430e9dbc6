"""Reads images of any format that label maps have: NIfTI, TIFF, PNG and, if pynrrd is installed, NRRD."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchbench.errors import DataError
from benchbench.images.arrays import Floats
from benchbench.images.label_maps import READERS as LABEL_READERS
from benchbench.images.label_maps import suffix_of
from benchbench.images.nifti import read_channels
from benchbench.images.nrrd import read_nrrd

PLANE_SUFFIXES = (".tiff", ".tif", ".png")
"""Endings of files that can hold one slice of a stack."""
_TOLERANCE_MM = 1e-3


class StoredImage(NamedTuple):
    """The channels of one or several files and their position in the world."""

    channels: NDArray[Any]
    """(C, *space) with two or three axes in space."""
    affine: Floats | None
    """(4, 4) matrix from voxel indices to world coordinates in mm; None if the format does not store one."""
    spacing_mm: tuple[float, ...] | None
    """Voxel size in mm along each axis of space; None if unknown."""


def read_image_files(files: Sequence[Path], *, channels: Sequence[str]) -> StoredImage:
    """Read the channels of an image: one file with all of them, or a file for each, in this order.

    Pages of a TIFF file are channels if there are as many and pixels have one value; otherwise they are slices.

    Raises:
        DataError: a file cannot be read, has another number of channels, or is on another grid than the first.
    """
    if len(files) == 1:
        stored = read_image_file(files[0], pages_as_channels=len(channels))
        _check_count(files[0], stored, channels)
        return stored
    images = [read_image_file(path, pages_as_channels=1) for path in files]
    for path, name, image in zip(files, channels, images, strict=True):
        _check_count(path, image, [name])
        _check_grid(path, image, images[0], like=files[0])
    return images[0]._replace(channels=np.concatenate([image.channels for image in images]))


def read_image_file(path: Path, *, pages_as_channels: int) -> StoredImage:
    """Read all channels of a file.

    Pages of a TIFF file whose pixels have one value are channels if there are `pages_as_channels` of them.

    Raises:
        DataError: the file cannot be read, or has not two or three axes in space.
    """
    suffix = suffix_of(path.name)
    if suffix is None:
        known = ", ".join(LABEL_READERS)
        raise DataError(f"{path}: found a name of an unknown format, expected {known}; convert it to one of them")
    stored = _READERS[suffix](path, pages_as_channels)
    space = stored.channels.shape[1:]
    if len(space) not in {2, 3}:
        raise DataError(f"{path}: found axes {space}, expected two or three in space; store one image per file")
    return stored


def _check_count(path: Path, image: StoredImage, channels: Sequence[str]) -> None:
    count, expected = len(image.channels), len(channels)
    if count == expected:
        return
    names = ", ".join(channels)
    if expected == 1:
        remedy = "give a file with this channel alone"
    else:
        remedy = (
            f"give one file with all of them, or a file for each, named like case_0000 and case_0001 or like"
            f" case_{channels[0]}"
        )
    unit = "channel" if count == 1 else "channels"
    raise DataError(f"{path}: found {count} {unit}, expected {expected} ({names}); {remedy}")


def _check_grid(path: Path, image: StoredImage, first: StoredImage, *, like: Path) -> None:
    shape, expected = image.channels.shape[1:], first.channels.shape[1:]
    if shape != expected:
        raise DataError(f"{path}: found shape {shape}, expected {expected} like {like.name}; resample it")
    if image.affine is None or first.affine is None:
        return
    if not np.allclose(image.affine, first.affine, rtol=0, atol=_TOLERANCE_MM):
        raise DataError(
            f"{path}: found another position or orientation than that of {like.name}, expected the same grid;"
            " resample it"
        )


def _read_nifti(path: Path, _pages_as_channels: int) -> StoredImage:
    volume = read_channels(path)
    return StoredImage(volume.voxels, volume.affine, volume.spacing_mm)


def _read_tiff(path: Path, pages_as_channels: int) -> StoredImage:
    from benchbench.images.tiff import read_tiff  # noqa: PLC0415 needed only for TIFF

    pixels = read_tiff(path)
    if pixels.samples > 1:
        return StoredImage(np.moveaxis(pixels.values, -1, 0), None, None)
    has_pages = pixels.values.ndim == 3 and pages_as_channels > 1
    if has_pages and len(pixels.values) == pages_as_channels:
        return StoredImage(pixels.values, None, None)
    return StoredImage(pixels.values[None], None, None)


def _read_png(path: Path, _pages_as_channels: int) -> StoredImage:
    from benchbench.images.png import read_png_image  # noqa: PLC0415 needed only for PNG

    values = read_png_image(path)
    if values.ndim == 3:
        return StoredImage(np.moveaxis(values, -1, 0), None, None)
    return StoredImage(values[None], None, None)


def _read_nrrd(path: Path, _pages_as_channels: int) -> StoredImage:
    volume = read_nrrd(path)
    return StoredImage(volume.voxels[None], volume.affine, volume.spacing_mm)


_READERS: Mapping[str, Callable[[Path, int], StoredImage]] = {
    ".nii.gz": _read_nifti,
    ".nii": _read_nifti,
    ".tiff": _read_tiff,
    ".tif": _read_tiff,
    ".png": _read_png,
    ".seg.nrrd": _read_nrrd,
    ".nrrd": _read_nrrd,
}
