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
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from isal import igzip
from isal.isal_zlib import error as DeflateError  # noqa: N812  a class
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

from benchbench.images.arrays import Floats
from benchbench.images.input_files import (
    COMPRESSION,
    COPY_AGAIN,
    FileFault,
    check_size,
    describe_content,
    read_file,
)
from benchbench.images.label_values import as_labels, check_finite
from benchbench.images.nifti_header import (
    REMARK_UNIT_QFORM,
    REMARK_UNIT_SFORM,
    Layout,
    format_numbers,
    read_layout,
)
from benchbench.images.stack import Room, new_room

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from io import BufferedIOBase
    from pathlib import Path

_KIND = "a NIfTI file"
_GZIP_MAGIC = b"\x1f\x8b"
_EXTRA_BYTES = 2**20  # read after the last voxel, to detect a longer file
_PIECE_BYTES = 2**19  # decoded at a time


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

    def read(path: Path) -> Volume:
        volume, _ = _read(path, room)
        check_finite(volume.voxels)
        return volume

    return _with_warning(path, read_file(path, read, kind=_KIND))


def read_channels(path: Path) -> Volume:
    """Read an image as `read_image` does, into voxels (C, X, Y, Z); an axis after the third has the channels.

    Raises:
        DataError: as `read_image`, or more than one axis after the third is longer than 1.
    """

    def read(path: Path) -> Volume:
        volume, _ = _read(path, new_room, has_channels=True)
        check_finite(volume.voxels)
        return volume

    volume = _with_warning(path, read_file(path, read, kind=_KIND))
    if volume.voxels.ndim == 3:
        return volume._replace(voxels=volume.voxels[None])
    return volume._replace(voxels=np.moveaxis(volume.voxels, -1, 0))


def read_label(path: Path) -> Volume:
    """Read a label as `read_image` does, into the smallest unsigned type; values up to 1e-4 off are rounded.

    Raises:
        DataError: as `read_image`, or a value is fractional, negative or above 65535.
    """

    def read(path: Path) -> Volume:
        volume, slope = _read(path, new_room)
        return volume._replace(voxels=as_labels(volume.voxels, scaling=slope))

    return _with_warning(path, read_file(path, read, kind=_KIND))


def read_grid(path: Path) -> Layout:
    """Read the header of a .nii or .nii.gz file, which has the shape and the affine; voxels are not read.

    Raises:
        DataError: as `read_image`, for faults of the header.
    """

    def read(path: Path) -> Layout:
        with path.open("rb") as file:
            start = file.read(1024)
        opened = igzip.open(path) if start.startswith(_GZIP_MAGIC) else path.open("rb")
        with opened as stream:
            return read_layout(stream, content=describe_content(start))

    return read_file(path, read, kind=_KIND)


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


class OnceForAllFiles(logging.Filter):
    """Lets a remark that holds for all files of a dataset pass for the first file of a process."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        remark = record.args[1] if isinstance(record.args, tuple) and len(record.args) == 2 else ""
        if remark not in {REMARK_UNIT_QFORM, REMARK_UNIT_SFORM}:
            return True
        is_first = remark not in self._passed
        self._passed.add(str(remark))
        return is_first


_logger = logging.getLogger(__name__)
_logger.addFilter(OnceForAllFiles())


def _with_warning(path: Path, volume: Volume) -> Volume:
    if volume.remark:
        _logger.warning("%s: %s", path, volume.remark)
    return volume


def _read(path: Path, room: Room, *, has_channels: bool = False) -> tuple[Volume, float]:
    """Return the volume and the slope that its values are scaled with; with channels along a last axis, if any."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(1024)
    if not start.startswith(_GZIP_MAGIC):
        with path.open("rb") as file:
            layout = read_layout(file, content=describe_content(start), has_channels=has_channels)
            return _decode(file, layout, room, most_bytes=size)
    try:
        with igzip.open(path) as stream:
            layout = read_layout(stream, content="a gzip of something else", has_channels=has_channels)
            return _decode(stream, layout, room, most_bytes=size * COMPRESSION)
    except EOFError as error:
        raise FileFault(f"found a truncated gzip stream of {size:,} bytes", "a whole one", COPY_AGAIN) from error
    except (gzip.BadGzipFile, DeflateError) as error:
        finding = f"found a damaged gzip stream ({error})"
        raise FileFault(finding, "one that matches its checksum", COPY_AGAIN) from error


def _decode(stream: BufferedIOBase, layout: Layout, room: Room, *, most_bytes: int) -> tuple[Volume, float]:
    """Decode a stream to its end, where gzip keeps the checksum; `most_bytes` is what the file can contain."""
    _check_size(layout, most_bytes)
    voxels = room(layout.shape, layout.dtype)
    _read_voxels(stream, layout, voxels)
    voxels = voxels.astype(layout.dtype.newbyteorder("="), copy=False)
    if (layout.slope, layout.inter) != (1, 0):
        voxels = voxels * layout.slope + layout.inter
    channels = tuple(length for length in layout.shape[3:] if length > 1)
    voxels = voxels.reshape((*layout.shape[:3], *channels), order="F")
    return Volume(voxels, layout.affine, layout.spacing_mm, layout.remark), layout.slope


def _check_size(layout: Layout, most_bytes: int) -> None:
    """Raise FileFault before memory is allocated for more voxels than the file can contain."""
    total = layout.offset + layout.nbytes
    check_size(total, _promised(layout))
    if total > most_bytes:
        raise FileFault(f"found at most {most_bytes:,} bytes", _promised(layout), COPY_AGAIN)


def _read_voxels(stream: BufferedIOBase, layout: Layout, voxels: NDArray[Any]) -> None:
    stream.seek(layout.offset)
    size = layout.offset + _fill(voxels.reshape(-1, order="F").view(np.uint8).data, stream)
    total = layout.offset + layout.nbytes
    if size != total:
        raise FileFault(f"found {size:,} bytes", _promised(layout), COPY_AGAIN)
    extra = len(stream.read(_EXTRA_BYTES))
    if extra:
        at_least = "" if extra < _EXTRA_BYTES else "at least "
        raise FileFault(f"found {at_least}{total + extra:,} bytes", _promised(layout), COPY_AGAIN)


def _fill(memory: memoryview, stream: BufferedIOBase) -> int:
    """Fill memory from a stream; return the number of bytes, which are fewer where the stream ends before.

    A gzip stream makes new bytes of all that it is asked for, and copies them. Small pieces stay in the
    processor's cache, and need no new memory each.
    """
    position = 0
    while position < len(memory):
        count = stream.readinto(memory[position : position + _PIECE_BYTES])
        if not count:
            break
        position += count
    return position


def _promised(layout: Layout) -> str:
    total = layout.offset + layout.nbytes
    return f"the {total:,} bytes of {layout.dtype.name} {layout.shape} in its header"


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
