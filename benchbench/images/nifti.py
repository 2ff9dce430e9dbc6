"""Reads NIfTI files, or says what is wrong with them.

Source: NIfTI-1 and NIfTI-2, https://nifti.nimh.nih.gov
Differs: nibabel reads a gzip stream no further than its voxels, so that it never checks the checksum at the end,
    mends a header that contradicts itself, and allocates whatever a header asks for. Here the first two are errors
    and the third has a limit.
"""

from __future__ import annotations

import gzip
import logging
import math
import stat
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from isal import igzip
from isal.isal_zlib import error as DeflateError  # noqa: N812  a class
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import aff2axcodes
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from benchbench.errors import DataError
from benchbench.images.stack import Room, own_room

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from io import BufferedIOBase
    from pathlib import Path

LIMIT_BYTES = 8 * 2**30
LARGEST_LABEL = 65535
GZIP_MAGIC = b"\x1f\x8b"
GZIP_RATIO = 1100  # deflate cannot do better than 1032 to 1
AGAIN = "copy the file from its source again"
HEADERS = {
    (size, order): (header, magic)
    for size, header, magic in ((348, Nifti1Header, b"n+1"), (540, Nifti2Header, b"n+2"))
    for order in ("<", ">")
}


class Volume(NamedTuple):
    """The decoded voxels of a file and where they lie."""

    voxels: NDArray[Any]
    """(X, Y, Z) in native byte order, in the stored type unless the header scales the values."""
    affine: NDArray[np.float64]
    """(4, 4) voxel to world in mm."""
    spacing_mm: tuple[float, ...]
    remark: str = ""
    """What is odd about where they lie; logged as a warning."""


def read_image(path: Path, *, room: Room = own_room) -> Volume:
    """The three-dimensional image of a .nii or .nii.gz, told apart by content and not by name.

    The affine is the sform where that has a code, else the qform where that has one; where neither has, it is the
    voxel size alone, and orientation and origin are unknown. A fourth axis of length 1 is dropped.

    Raises:
        DataError: "<path>: found ..., expected ...; what to do".
    """
    try:
        volume = _read(path, room)
    except _Fault as fault:
        raise DataError(f"{path}: {fault}") from fault.__cause__
    except OSError as error:
        found = f"found a file that cannot be read ({error.strerror or error})"
        raise DataError(f"{path}: {_Fault(found, 'a readable file', AGAIN)}") from error
    if volume.remark:
        logging.getLogger(__name__).warning("%s: %s", path, volume.remark)
    if volume.voxels.dtype.kind == "f" and (odd := volume.voxels.size - int(np.isfinite(volume.voxels).sum())):
        nan = int(np.isnan(volume.voxels).sum())
        found = f"found {nan} voxels that are nan and {odd - nan} that are infinite"
        raise DataError(f"{path}: {_Fault(found, 'numbers', 'make the file anew without them')}")
    return volume


def read_label(path: Path) -> Volume:
    """As `read_image`, in the smallest unsigned integer type; values within 1e-4 of an integer are rounded.

    Raises:
        DataError: as `read_image`, or a value is fractional, negative or above 65535.
    """
    volume = read_image(path)
    values = volume.voxels
    if values.dtype.kind == "f":
        values = np.rint(values)
        if (far := np.abs(values - volume.voxels) > 1e-4).any():
            found = f"found fractional labels, {_counts(volume.voxels[far])}"
            expected = "whole numbers, not an interpolated or rescaled mask"
            raise DataError(f"{path}: {_Fault(found, expected, AGAIN)}")
    if values.min() < 0 or values.max() > LARGEST_LABEL:
        found = f"found labels out of range, {_counts(values[(values < 0) | (values > LARGEST_LABEL)])}"
        raise DataError(f"{path}: {_Fault(found, f'0 to {LARGEST_LABEL}', 'write the mask anew')}")
    return volume._replace(voxels=values.astype(np.min_scalar_type(int(values.max()))))


def check_same_grid(volumes: Mapping[str, Volume]) -> list[str]:
    """A problem for each file of a case, by name, whose shape or affine is not that of the others.

    The first file of the commonest shape is what the others are held against; affines may differ by 1e-3.
    """
    shapes = Counter(volume.voxels.shape for volume in volumes.values())
    shape = max(shapes, key=shapes.__getitem__, default=())
    like = next((name for name, volume in volumes.items() if volume.voxels.shape == shape), "")
    faults = {name: _grid_fault(volume, volumes[like], like=like) for name, volume in volumes.items()}
    return [f"{name}: {fault}" for name, fault in faults.items() if fault]


def other_values(label: NDArray[Any], allowed: Collection[int]) -> NDArray[Any]:
    """The voxels, in no order, that are none of the allowed values."""
    found = label.ravel("K")
    if 0 in allowed:  # most voxels are 0, and need not be compared with anything else
        found = found[np.flatnonzero(found != 0)]
    is_allowed = np.zeros(found.shape, dtype=bool)
    for value in allowed:  # compared one by one: several times faster than np.isin
        is_allowed |= found == value
    return found[~is_allowed]


class _Fault(Exception):  # noqa: N818  a fault of a file, which becomes an error with the file's name
    """found ..., expected ...; what to do."""

    def __init__(self, found: str, expected: str, todo: str) -> None:
        super().__init__(f"{found}, expected {expected}; {todo}")


class _Layout(NamedTuple):
    """What a header says of the file behind it."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    slope: float
    inter: float
    affine: NDArray[np.float64]
    spacing_mm: tuple[float, ...]
    remark: str

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _read(path: Path, room: Room) -> Volume:
    size = _file_size(path)
    with path.open("rb") as file:
        start = file.read(1024)
    if not start.startswith(GZIP_MAGIC):
        with path.open("rb") as file:
            return _decode(file, room, named=_kind(start), most=size)
    try:
        with igzip.open(path) as stream:  # twice as fast as gzip, and it checks as much
            return _decode(stream, room, named="a gzip of something else", most=size * GZIP_RATIO)
    except EOFError as error:
        raise _Fault(f"found a truncated gzip stream of {size:,} bytes", "a whole one", AGAIN) from error
    except (gzip.BadGzipFile, DeflateError) as error:
        raise _Fault(f"found a damaged gzip stream ({error})", "one that fits its checksum", AGAIN) from error


def _file_size(path: Path) -> int:
    """Of a regular file with something in it; nothing else is opened, so that a FIFO cannot hang."""
    if path.is_symlink() and "annex/objects/" in path.readlink().as_posix() and not path.exists():
        raise _Fault("found a git-annex link without its content", "a NIfTI file", "run git annex get")
    if path.is_symlink() and not path.exists():
        raise _Fault(f"found a broken link to {path.readlink()}", "a NIfTI file", "mend the link or copy the file")
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise _Fault("found a folder", "a NIfTI file", "move it away and copy the file there")
    if not stat.S_ISREG(status.st_mode):
        raise _Fault("found a pipe, socket or device", "a NIfTI file", "copy the file there")
    if not status.st_size:
        raise _Fault("found an empty file", "a NIfTI file", AGAIN)
    return status.st_size


def _kind(start: bytes) -> str:
    """What a file is that begins like this and is not NIfTI."""
    text = start.lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        return "a git-LFS pointer (run git lfs pull)"
    if b"/annex/objects/" in text:
        return "a git-annex pointer (run git annex get)"
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page, such as an error or a log-in"
    return f"another format, which begins with {start[:8]!r}"


def _decode(stream: BufferedIOBase, room: Room, *, named: str, most: int) -> Volume:
    """Reads to the end, which is where gzip keeps its checksum; `most` is what the file can hold."""
    layout = _layout(_read_header(stream, named=named))
    total = layout.offset + layout.nbytes
    promised = f"the {total:,} bytes of {layout.dtype.name} {layout.shape} in its header"
    if total > LIMIT_BYTES:
        raise _Fault(f"found {promised}", f"at most {LIMIT_BYTES:,}", "crop or resample the image")
    if total > most:
        raise _Fault(f"found at most {most:,} bytes", promised, AGAIN)
    voxels = room(layout.shape, layout.dtype)
    stream.seek(layout.offset)
    count = stream.readinto(voxels.reshape(-1, order="F").view(np.uint8).data)
    if count != layout.nbytes:
        raise _Fault(f"found {layout.offset + count:,} bytes", promised, AGAIN)
    if extra := len(stream.read(2**20)):
        least = "" if extra < 2**20 else "at least "
        raise _Fault(f"found {least}{total + extra:,} bytes", promised, AGAIN)
    voxels = voxels.astype(layout.dtype.newbyteorder("="), copy=False)
    if (layout.slope, layout.inter) != (1, 0):
        voxels = voxels * layout.slope + layout.inter
    return Volume(voxels.reshape(layout.shape[:3], order="F"), layout.affine, layout.spacing_mm, layout.remark)


def _read_header(stream: BufferedIOBase, *, named: str) -> Nifti1Header:
    """The header as it stands, nothing mended."""
    block = stream.read(348)
    for (size, order), (header, magic) in HEADERS.items():
        if block[:4] == np.array(size, f"{order}i4").tobytes():
            block += stream.read(size - 348)
            if len(block) < size:
                raise _Fault(f"found {len(block)} bytes", f"a header of {size}", AGAIN)
            parsed = header(block, endianness=order, check=False)
            if parsed["magic"].item()[:3] == magic:
                return parsed
            raise _Fault(
                "found Analyze or a pair of .hdr and .img", "a single NIfTI file", "convert it to .nii.gz"
            )
    raise _Fault(f"found {named}", "a NIfTI file", AGAIN)


def _layout(header: Nifti1Header) -> _Layout:
    count = int(header["dim"][0])
    shape = tuple(int(length) for length in header["dim"][1 : 1 + max(count, 0)])
    if not 3 <= count <= 7 or min(shape) < 1 or max(shape[3:], default=1) > 1:
        todo = "store one volume a file" if count > 3 else AGAIN
        raise _Fault(f"found shape {shape} of {count} axes", "three axes, none of them empty", todo)
    dtype = _dtype(header)
    spacing_mm = tuple(float(length) for length in header["pixdim"][1:4])
    if not all(1e-3 <= length <= 1e3 for length in spacing_mm):  # nan is not, either
        raise _Fault(f"found spacing {spacing_mm} mm", "0.001 to 1000 mm", "mend pixdim in the header")
    if (unit := int(header["xyzt_units"]) & 7) in {1, 3}:
        raise _Fault(f"found spacing in {'metres' if unit == 1 else 'micrometres'}", "mm", "mend the header")
    slope, inter = _scaling(header)
    affine = _affine(header, spacing_mm)
    return _Layout(
        dtype, shape, _offset(header), slope, inter, affine, spacing_mm, _affine_remark(header, affine, shape[:3])
    )


def _dtype(header: Nifti1Header) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
    except (HeaderDataError, KeyError):
        dtype = np.dtype("V")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        found = f"found voxels of NIfTI type {int(header['datatype'])} ({dtype})"
        raise _Fault(found, "integers or floats of at most 64 bits", "store one number a voxel")
    return dtype


def _offset(header: Nifti1Header) -> int:
    """Where the voxels begin; 0 stands for directly behind the header."""
    least = header.single_vox_offset
    offset = float(header["vox_offset"]) or least
    if not (least <= offset <= LIMIT_BYTES and offset.is_integer()):
        raise _Fault(f"found vox_offset {offset:g}", f"a whole number from {least}", AGAIN)
    return int(offset)


def _scaling(header: Nifti1Header) -> tuple[float, float]:
    """(slope, intercept); (1, 0) where the header has none, which a slope of 0 or nan stands for."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if math.isnan(slope) or slope == 0:
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(inter)):
        raise _Fault(f"found scl_slope {slope} and scl_inter {inter}", "finite numbers", "mend the header")
    return slope, inter


def _affine(header: Nifti1Header, spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    if int(header["sform_code"]) > 0:
        affine: NDArray[np.float64] = header.get_sform()
    elif int(header["qform_code"]) > 0:
        affine = _qform(header)
    else:
        return np.diag([*spacing_mm, 1.0])
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and np.allclose(zooms, spacing_mm, rtol=0.01, atol=0)):
        found = f"found voxels of {_numbers(zooms)} mm by the affine"
        raise _Fault(
            found, f"{_numbers(spacing_mm)} mm as in pixdim", "find out which is right and mend the header"
        )
    if np.linalg.matrix_rank(affine / np.append(zooms, 1)) < 4:
        raise _Fault("found an affine whose axes lie in a plane", "three directions", "mend the header")
    return affine


def _affine_remark(header: Nifti1Header, affine: NDArray[np.float64], shape: tuple[int, ...]) -> str:
    """Where the header leaves open which affine is meant, which is taken."""
    has_sform, has_qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if not has_sform and not has_qform:
        return "found neither sform nor qform; taken is the voxel size alone, orientation and origin are unknown"
    if has_sform and has_qform:
        try:
            other = _qform(header)
        except _Fault:
            return "found a qform that is no rotation beside the sform; taken is the sform"
        corners = np.array([[x, y, z, 1] for x in (0, shape[0]) for y in (0, shape[1]) for z in (0, shape[2])])
        apart = float(np.linalg.norm((affine - other) @ corners.T, axis=0).max())
        if apart > 0.5 * min(np.linalg.norm(affine[:3, :3], axis=0)):
            return f"found sform and qform up to {apart:.3g} mm apart; taken is the sform"
    return ""


def _qform(header: Nifti1Header) -> NDArray[np.float64]:
    if header["pixdim"][0] not in {1, -1}:
        header["pixdim"][0] = 1  # as the standard has it
    try:
        affine: NDArray[np.float64] = header.get_qform()
    except ValueError as error:
        raise _Fault("found a qform that is no rotation", "a unit quaternion", "mend the header") from error
    return affine


def _grid_fault(volume: Volume, expected: Volume, *, like: str) -> str | None:
    shape, wanted = volume.voxels.shape, expected.voxels.shape
    if shape != wanted:
        is_transposed = sorted(shape) == sorted(wanted)
        todo = "its axes are in another order: transpose it" if is_transposed else AGAIN
        return f"found shape {shape}, expected {wanted} like {like}; {todo}"
    if not np.allclose(volume.affine, expected.affine, rtol=0, atol=1e-3):
        found, wanted_place = _place(volume), _place(expected)
        return f"found {found}, expected {wanted_place} like {like}; resample it to the grid of {like}"
    return None


def _place(volume: Volume) -> str:
    axes = "".join(axis or "?" for axis in aff2axcodes(volume.affine))
    origin = _numbers(volume.affine[:3, 3])
    return f"orientation {axes}, spacing {_numbers(volume.spacing_mm)} mm, origin {origin}"


def _numbers(values: tuple[float, ...] | NDArray[Any]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"


def _counts(voxels: NDArray[Any]) -> str:
    """The commonest values and how often they are there."""
    values, counts = np.unique(voxels, return_counts=True)
    commonest = np.argsort(-counts, kind="stable")[:4]
    shown = ", ".join(f"{values[at]:g} ({counts[at]} voxels)" for at in commonest)
    return shown if len(values) <= 4 else f"{shown} and {len(values) - 4} other values"
