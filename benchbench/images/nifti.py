"""Reads NIfTI files and refuses damaged ones with the reason.

Written here because nibabel stops reading a gzip stream at the last voxel, so that it never checks the checksum,
and because decoding in one pass with ISA-L takes half the time. nibabel still parses the header.

Source: NIfTI-1 and NIfTI-2, https://nifti.nimh.nih.gov
Differs: nibabel corrects a header that contradicts itself and allocates whatever a header asks for. Here the
    first is an error and the second has a limit.
"""

from __future__ import annotations

import gzip
import logging
import stat
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from isal import igzip
from isal.isal_zlib import error as DeflateError  # noqa: N812  a class
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

from benchbench.errors import DataError
from benchbench.images.arrays import Floats
from benchbench.images.nifti_header import (
    COPY_AGAIN,
    LIMIT_BYTES,
    Layout,
    NiftiFault,
    format_numbers,
    read_layout,
)
from benchbench.images.stack import Room, new_room

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from io import BufferedIOBase
    from pathlib import Path

LARGEST_LABEL = 65535
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_RATIO = 1100  # deflate cannot compress better than 1032 to 1
_EXTRA_BYTES = 2**20  # read after the last voxel, to detect a longer file


class Volume(NamedTuple):
    """The decoded voxels of a file and their position in the world."""

    voxels: NDArray[Any]
    """(X, Y, Z) in native byte order, in the stored type unless the header scales the values."""
    affine: Floats
    """(4, 4) matrix from voxel indices to world coordinates in mm."""
    spacing_mm: tuple[float, ...]
    remark: str = ""
    """An ambiguity of the affine, and how it was resolved; it is also logged as a warning."""


def read_image(path: Path, *, room: Room = new_room) -> Volume:
    """Read the three-dimensional image of a .nii or .nii.gz file; the content decides whether it is compressed.

    The affine is the sform if it has a code, else the qform if that has one. If neither has a code, the affine is
    the voxel size alone, and orientation and origin are unknown. A fourth axis of length 1 is dropped. `room`
    allocates the array that the voxels are decoded into.

    Raises:
        DataError: "<path>: found ..., expected ...; what to do".
    """
    try:
        volume = _read(path, room)
        _check_finite(volume.voxels)
    except NiftiFault as fault:
        raise DataError(f"{path}: {fault}") from fault.__cause__
    except OSError as error:
        finding = f"found a file that cannot be read ({error.strerror or error})"
        raise DataError(f"{path}: {NiftiFault(finding, 'a readable file', COPY_AGAIN)}") from error
    if volume.remark:
        logging.getLogger(__name__).warning("%s: %s", path, volume.remark)
    return volume


def read_label(path: Path) -> Volume:
    """Read a label as `read_image` does, into the smallest unsigned type; values up to 1e-4 off are rounded.

    Raises:
        DataError: as `read_image`, or a value is fractional, negative or above 65535.
    """
    volume = read_image(path)
    try:
        return volume._replace(voxels=_as_labels(volume.voxels))
    except NiftiFault as fault:
        raise DataError(f"{path}: {fault}") from None


def check_same_grid(volumes: Mapping[str, Volume]) -> list[str]:
    """Return a problem for each file of a case, by name, whose shape or affine differs from that of the others.

    Every file is compared with the first one of the commonest shape; affines may differ by 1e-3.
    """
    shapes = Counter(volume.voxels.shape for volume in volumes.values())
    commonest = max(shapes, key=shapes.__getitem__, default=())
    like = next((name for name, volume in volumes.items() if volume.voxels.shape == commonest), "")
    problems: list[str] = []
    for name, volume in volumes.items():
        fault = _grid_fault(volume, volumes[like], like=like)
        if fault is not None:
            problems.append(f"{name}: {fault}")
    return problems


def other_values(label: NDArray[Any], allowed: Collection[int]) -> NDArray[Any]:
    """Return the voxels, in no particular order, whose value is not allowed."""
    values = label.ravel("K")
    if 0 in allowed:  # most voxels are 0 and need no further comparison
        values = values[np.flatnonzero(values != 0)]
    is_allowed = np.zeros(values.shape, dtype=bool)
    for value in allowed:  # one comparison at a time is several times faster than np.isin
        is_allowed |= values == value
    return values[~is_allowed]


def _read(path: Path, room: Room) -> Volume:
    size = _file_size(path)
    with path.open("rb") as file:
        start = file.read(1024)
    if not start.startswith(_GZIP_MAGIC):
        with path.open("rb") as file:
            return _decode(file, room, content=_describe_content(start), most_bytes=size)
    try:
        with igzip.open(path) as stream:
            return _decode(stream, room, content="a gzip of something else", most_bytes=size * _GZIP_RATIO)
    except EOFError as error:
        raise NiftiFault(f"found a truncated gzip stream of {size:,} bytes", "a whole one", COPY_AGAIN) from error
    except (gzip.BadGzipFile, DeflateError) as error:
        finding = f"found a damaged gzip stream ({error})"
        raise NiftiFault(finding, "one that matches its checksum", COPY_AGAIN) from error


def _file_size(path: Path) -> int:
    """Return the size of a regular file; nothing else is opened, because opening a pipe would wait forever."""
    if path.is_symlink() and not path.exists():
        target = path.readlink()
        if "annex/objects/" in target.as_posix():
            raise NiftiFault("found a git-annex link without its content", "a NIfTI file", "run git annex get")
        raise NiftiFault(f"found a broken link to {target}", "a NIfTI file", "correct the link or copy the file")
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise NiftiFault("found a folder", "a NIfTI file", "move it away and copy the file there")
    if not stat.S_ISREG(status.st_mode):
        raise NiftiFault("found a pipe, socket or device", "a NIfTI file", "copy the file there")
    if not status.st_size:
        raise NiftiFault("found an empty file", "a NIfTI file", COPY_AGAIN)
    return status.st_size


def _describe_content(start: bytes) -> str:
    """Describe a file that begins like this, for the case that it is not NIfTI."""
    text = start.lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        return "a git-LFS pointer (run git lfs pull)"
    if b"/annex/objects/" in text:
        return "a git-annex pointer (run git annex get)"
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page, such as an error or a log-in"
    return f"another format, which begins with {start[:8]!r}"


def _decode(stream: BufferedIOBase, room: Room, *, content: str, most_bytes: int) -> Volume:
    """Decode a stream to its end, where gzip keeps the checksum; `most_bytes` is what the file can contain."""
    layout = read_layout(stream, content=content)
    _check_size(layout, most_bytes)
    voxels = room(layout.shape, layout.dtype)
    _read_voxels(stream, layout, voxels)
    voxels = voxels.astype(layout.dtype.newbyteorder("="), copy=False)
    if (layout.slope, layout.inter) != (1, 0):
        voxels = voxels * layout.slope + layout.inter
    voxels = voxels.reshape(layout.shape[:3], order="F")
    return Volume(voxels, layout.affine, layout.spacing_mm, layout.remark)


def _check_size(layout: Layout, most_bytes: int) -> None:
    """Raise NiftiFault before memory is allocated for more voxels than the file can contain."""
    total = layout.offset + layout.nbytes
    if total > LIMIT_BYTES:
        expected = f"at most {LIMIT_BYTES:,}"
        raise NiftiFault(f"found {_promised(layout)}", expected, "crop or resample the image")
    if total > most_bytes:
        raise NiftiFault(f"found at most {most_bytes:,} bytes", _promised(layout), COPY_AGAIN)


def _read_voxels(stream: BufferedIOBase, layout: Layout, voxels: NDArray[Any]) -> None:
    stream.seek(layout.offset)
    buffer = voxels.reshape(-1, order="F").view(np.uint8).data
    size = layout.offset + stream.readinto(buffer)
    total = layout.offset + layout.nbytes
    if size != total:
        raise NiftiFault(f"found {size:,} bytes", _promised(layout), COPY_AGAIN)
    extra = len(stream.read(_EXTRA_BYTES))
    if extra:
        at_least = "" if extra < _EXTRA_BYTES else "at least "
        raise NiftiFault(f"found {at_least}{total + extra:,} bytes", _promised(layout), COPY_AGAIN)


def _promised(layout: Layout) -> str:
    total = layout.offset + layout.nbytes
    return f"the {total:,} bytes of {layout.dtype.name} {layout.shape} in its header"


def _check_finite(voxels: NDArray[Any]) -> None:
    if voxels.dtype.kind != "f":
        return
    non_finite = voxels.size - int(np.isfinite(voxels).sum())
    if non_finite:
        nan = int(np.isnan(voxels).sum())
        finding = f"found {nan} voxels that are nan and {non_finite - nan} that are infinite"
        raise NiftiFault(finding, "numbers", "write the file again without them")


def _as_labels(voxels: NDArray[Any]) -> NDArray[Any]:
    """Return the values in the smallest unsigned type."""
    values = voxels
    if voxels.dtype.kind == "f":
        values = np.rint(voxels)
        is_fractional = np.abs(values - voxels) > 1e-4
        if is_fractional.any():
            finding = f"found fractional labels, {_counts(voxels[is_fractional])}"
            raise NiftiFault(finding, "whole numbers, not an interpolated or rescaled mask", COPY_AGAIN)
    if values.min() < 0 or values.max() > LARGEST_LABEL:
        outside = values[(values < 0) | (values > LARGEST_LABEL)]
        finding = f"found labels out of range, {_counts(outside)}"
        raise NiftiFault(finding, f"0 to {LARGEST_LABEL}", "write the mask again")
    return values.astype(np.min_scalar_type(int(values.max())))


def _grid_fault(volume: Volume, expected: Volume, *, like: str) -> str | None:
    shape, expected_shape = volume.voxels.shape, expected.voxels.shape
    if shape != expected_shape:
        is_transposed = sorted(shape) == sorted(expected_shape)
        advice = "its axes are in another order: transpose it" if is_transposed else COPY_AGAIN
        return f"found shape {shape}, expected {expected_shape} like {like}; {advice}"
    if not np.allclose(volume.affine, expected.affine, rtol=0, atol=1e-3):
        return (
            f"found {_place(volume)}, expected {_place(expected)} like {like}; resample it to the grid of {like}"
        )
    return None


def _place(volume: Volume) -> str:
    axes = "".join(axis or "?" for axis in aff2axcodes(volume.affine))
    spacing, origin = format_numbers(volume.spacing_mm), format_numbers(volume.affine[:3, 3])
    return f"orientation {axes}, spacing {spacing} mm, origin {origin}"


def _counts(voxels: NDArray[Any]) -> str:
    """Return the four commonest values with their counts, in words."""
    values, counts = np.unique(voxels, return_counts=True)
    commonest = np.argsort(-counts, kind="stable")[:4]
    text = ", ".join(f"{values[place]:g} ({counts[place]} voxels)" for place in commonest)
    others = len(values) - 4
    return f"{text} and {others} other values" if others > 0 else text
