"""Reads the header of a NIfTI file and refuses one that contradicts itself.

The fields are parsed by nibabel with its corrections turned off.

Source: NIfTI-1 and NIfTI-2, https://nifti.nimh.nih.gov
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError

from benchbench.images.input_files import COPY_AGAIN, LIMIT_BYTES, FileFault

if TYPE_CHECKING:
    from io import BufferedIOBase

    from benchbench.images.arrays import Floats

_FIX_HEADER = "correct the header"
_SHAPE_ADVICE = {2: "add a third axis of length 1", 4: "store one volume per file"}
"""Number of axes, 4 for more -> what to do."""
REMARK_UNIT_QFORM = "found an sform without voxel sizes; the qform is used, with the spacing of pixdim"
REMARK_UNIT_SFORM = "found an sform without voxel sizes; its directions are used, with the spacing of pixdim"
_KINDS = ((348, Nifti1Header, b"n+1"), (540, Nifti2Header, b"n+2"))
"""Size of the header, its parser and the magic of a single file."""


class Layout(NamedTuple):
    """The content of a file according to its header."""

    dtype: np.dtype[Any]
    """Type and byte order of the stored voxels."""
    shape: tuple[int, ...]
    """Lengths of all axes, three of them or more of length 1."""
    offset: int
    """Position of the first voxel in bytes."""
    slope: float
    inter: float
    """Values are stored x slope + inter."""
    affine: Floats
    """(4, 4) matrix from voxel indices to world coordinates in mm."""
    spacing_mm: tuple[float, ...]
    remark: str
    """An ambiguity of the orientation, and how it was resolved; '' if there is none."""

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_layout(stream: BufferedIOBase, *, content: str, has_channels: bool = False) -> Layout:
    """Read the header at the start of a stream; `content` describes a file that turns out not to be NIfTI.

    With `has_channels`, one axis after the third may be longer than 1.

    Raises:
        FileFault: the header is missing, unsupported or contradicts itself.
    """
    header = read_header(stream, content=content)
    shape = _shape(header, has_channels=has_channels)
    dtype = _dtype(header)
    spacing_mm = _spacing_mm(header)
    slope, inter = _scaling(header)
    affine = _affine(header, spacing_mm)
    remark = _affine_remark(header, affine, shape[:3])
    return Layout(dtype, shape, _offset(header), slope, inter, affine, spacing_mm, remark)


def read_header(stream: BufferedIOBase, *, content: str = "another format") -> Nifti1Header:
    """Return the header as stored, without nibabel's corrections.

    Raises:
        FileFault: the stream does not begin with a header of a single NIfTI file; `content` says what it is.
    """
    block = stream.read(348)
    for (size, parser, magic), order in itertools.product(_KINDS, "<>"):
        if block[:4] != np.array(size, f"{order}i4").tobytes():
            continue
        block += stream.read(size - 348)
        if len(block) < size:
            raise FileFault(f"found {len(block)} bytes", f"a header of {size}", COPY_AGAIN)
        header = parser(block, endianness=order, check=False)
        if header["magic"].item()[:3] != magic:
            finding = "found Analyze or a pair of .hdr and .img"
            raise FileFault(finding, "a single NIfTI file", "convert it to .nii.gz")
        return header
    raise FileFault(f"found {content}", "a NIfTI file", COPY_AGAIN)


def _shape(header: Nifti1Header, *, has_channels: bool) -> tuple[int, ...]:
    count = int(header["dim"][0])
    shape = tuple(int(length) for length in header["dim"][1 : 1 + max(count, 0)])
    longer = [length for length in shape[3:] if length > 1]
    if not 3 <= count <= 7 or min(shape) < 1 or len(longer) > has_channels:
        advice = _SHAPE_ADVICE.get(min(count, 4), COPY_AGAIN)
        raise FileFault(f"found shape {shape} of {count} axes", "three axes, none of them empty", advice)
    return shape


def _dtype(header: Nifti1Header) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
    except (HeaderDataError, KeyError):
        dtype = np.dtype("V")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        finding = f"found voxels of NIfTI type {int(header['datatype'])} ({dtype})"
        raise FileFault(finding, "integers or floats of at most 64 bits", "store one number per voxel")
    return dtype


def _spacing_mm(header: Nifti1Header) -> tuple[float, ...]:
    spacing_mm = tuple(float(length) for length in header["pixdim"][1:4])
    if not all(1e-3 <= length <= 1e3 for length in spacing_mm):  # refuses nan as well
        raise FileFault(f"found spacing {spacing_mm} mm", "0.001 to 1000 mm", "correct pixdim in the header")
    unit = {1: "metres", 3: "micrometres"}.get(int(header["xyzt_units"]) & 7)
    if unit is not None:
        raise FileFault(f"found spacing in {unit}", "mm", _FIX_HEADER)
    return spacing_mm


def _offset(header: Nifti1Header) -> int:
    """Return the position of the first voxel; a stored 0 means directly after the header."""
    least = header.single_vox_offset
    offset = float(header["vox_offset"] or least)  # NIfTI-2 stores an integer
    if not (least <= offset <= LIMIT_BYTES and offset.is_integer()):
        raise FileFault(f"found vox_offset {offset:g}", f"a whole number from {least}", COPY_AGAIN)
    return int(offset)


def _scaling(header: Nifti1Header) -> tuple[float, float]:
    """Return (slope, intercept); (1, 0) for a header without scaling, which has a slope of 0 or nan."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if math.isnan(slope) or slope == 0:
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(inter)):
        raise FileFault(f"found scl_slope {slope} and scl_inter {inter}", "finite numbers", _FIX_HEADER)
    return slope, inter


def _affine(header: Nifti1Header, spacing_mm: tuple[float, ...]) -> Floats:
    if _has_unit_sform(header):
        return _affine_without_sform(header, spacing_mm)
    if int(header["sform_code"]) > 0:
        affine: Floats = header.get_sform()
    elif int(header["qform_code"]) > 0:
        affine = _qform(header)
    else:
        return np.diag([*spacing_mm, 1.0])
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and np.allclose(zooms, spacing_mm, rtol=0.01, atol=0)):
        finding = f"found voxels of {format_numbers(zooms)} mm by the affine"
        expected = f"{format_numbers(spacing_mm)} mm as in pixdim"
        raise FileFault(finding, expected, "find out which is right and correct the header")
    if np.linalg.matrix_rank(affine / np.append(zooms, 1)) < 4:
        raise FileFault("found an affine whose axes are in one plane", "three directions", _FIX_HEADER)
    return affine


def _has_unit_sform(header: Nifti1Header) -> bool:
    """Return True if the sform has directions of length 1 along the axes and pixdim has other voxel sizes.

    The files of ACDC are like this: their spacing is in pixdim and in the qform.
    """
    if int(header["sform_code"]) <= 0:
        return False
    spacing_mm = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    if np.allclose(spacing_mm, 1, rtol=0.01, atol=0):
        return False
    directions = np.abs(header.get_sform()[:3, :3]).round(3)
    has_one_per_axis = bool((directions.sum(axis=0) == 1).all() and (directions.sum(axis=1) == 1).all())
    return has_one_per_axis and bool(np.isin(directions, (0, 1)).all())


def _affine_without_sform(header: Nifti1Header, spacing_mm: tuple[float, ...]) -> Floats:
    """Return the qform; without one, the directions of the sform with the voxel sizes of pixdim."""
    if int(header["qform_code"]) > 0:
        return _qform(header)
    affine: Floats = header.get_sform()
    affine[:3, :3] *= spacing_mm
    return affine


def _qform(header: Nifti1Header) -> Floats:
    if header["pixdim"][0] not in {1, -1}:
        header["pixdim"][0] = 1  # the standard says so
    try:
        affine: Floats = header.get_qform()
    except ValueError as error:
        raise FileFault("found a qform that is no rotation", "a unit quaternion", _FIX_HEADER) from error
    return affine


def _affine_remark(header: Nifti1Header, affine: Floats, shape: tuple[int, ...]) -> str:
    """Return which of two affines is used, if the header does not decide it; '' otherwise."""
    has_sform, has_qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if _has_unit_sform(header):
        return REMARK_UNIT_QFORM if has_qform else REMARK_UNIT_SFORM
    if not has_sform and not has_qform:
        return "found neither sform nor qform; the voxel size alone is used, orientation and origin are unknown"
    if not (has_sform and has_qform):
        return ""
    return _disagreement(header, affine, shape)


def _disagreement(header: Nifti1Header, affine: Floats, shape: tuple[int, ...]) -> str:
    """Return by how much sform and qform place the image differently; '' for less than half a voxel."""
    try:
        qform = _qform(header)
    except FileFault:
        return "found a qform that is no rotation and an sform; the sform is used"
    ends = [(0, length) for length in shape]
    corners = np.array([[*corner, 1] for corner in itertools.product(*ends)])
    differences = (affine - qform) @ corners.T
    distance_mm = float(np.linalg.norm(differences, axis=0).max())
    if distance_mm > 0.5 * min(np.linalg.norm(affine[:3, :3], axis=0)):
        return f"found sform and qform up to {distance_mm:.3g} mm apart; the sform is used"
    return ""


def format_numbers(values: Sequence[float] | Floats) -> str:
    """Return numbers in parentheses, such as "(1, 0.5, 3)"."""
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"
