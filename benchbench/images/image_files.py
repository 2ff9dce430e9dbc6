"""Reads images of any format that label maps have: NIfTI, TIFF, PNG and, if pynrrd is installed, NRRD."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchbench.errors import DataError
from benchbench.images.arrays import Floats
from benchbench.images.label_maps import known_suffix
from benchbench.images.nifti import read_channels
from benchbench.images.nrrd import read_nrrd
from benchbench.words import count

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


def read_image_files(
    files: Sequence[Path], *, channels: Sequence[str], advise: Callable[[int], str] | None = None
) -> StoredImage:
    """Read the channels of an image: one file with all of them, or a file for each, in this order.

    `advise` returns what to do about another number of channels; by default, to give other files.
    Pages of a TIFF file are channels if there are as many and pixels have one value; otherwise they are slices.

    Raises:
        DataError: a file cannot be read, has another number of channels, or is on another grid than the first.
    """
    if len(files) == 1:
        stored = read_image_file(files[0], pages_as_channels=len(channels))
        _check_count(files[0], len(stored.channels), channels, advise)
        return stored
    images = [read_image_file(path, pages_as_channels=1) for path in files]
    for path, name, image in zip(files, channels, images, strict=True):
        _check_count(path, len(image.channels), [name], advise)
        check_shape(path, image.channels.shape[1:], images[0].channels.shape[1:], like=files[0].name)
        check_place(path, image.affine, images[0].affine, like=files[0].name)
    return images[0]._replace(channels=np.concatenate([image.channels for image in images]))


def read_image_file(path: Path, *, pages_as_channels: int) -> StoredImage:
    """Read all channels of a file.

    Pages of a TIFF file whose pixels have one value are channels if there are `pages_as_channels` of them.

    Raises:
        DataError: the file cannot be read, or has not two or three axes in space.
    """
    stored = _READERS[known_suffix(path)](path, pages_as_channels)
    space = stored.channels.shape[1:]
    if len(space) not in {2, 3}:
        raise DataError(f"{path}: found axes {space}, expected two or three in space; store one image per file")
    return stored


def check_shape(path: Path, shape: tuple[int, ...], expected: tuple[int, ...], *, like: str) -> None:
    """Compare the shape of a file with that of the file or image `like`.

    Raises:
        DataError: they differ.
    """
    if shape != expected:
        raise DataError(f"{path}: found shape {shape}, expected {expected} like {like}; resample one of the two")


def check_place(path: Path, affine: Floats | None, expected: Floats | None, *, like: str) -> None:
    """Compare the affine of a file with that of the file or image `like`, if both are known.

    Raises:
        DataError: they differ.
    """
    if affine is None or expected is None or np.allclose(affine, expected, rtol=0, atol=_TOLERANCE_MM):
        return
    raise DataError(
        f"{path}: found another position or orientation than that of {like}, expected the same grid; resample it"
    )


def _check_count(path: Path, n: int, channels: Sequence[str], advise: Callable[[int], str] | None) -> None:
    if n == len(channels):
        return
    names = ", ".join(channels)
    if advise is not None:
        remedy = advise(n)
    elif len(channels) == 1:
        remedy = "give a file with this channel alone"
    else:
        remedy = (
            f"give one file with all of them, or a file for each, named like case_0000 and case_0001 or like"
            f" case_{channels[0]}"
        )
    raise DataError(f"{path}: found {count(n, 'channel')}, expected {len(channels)} ({names}); {remedy}")


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
