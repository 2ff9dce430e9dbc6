"""Label values as a file in the format, on the grid and with the header of an image file."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from numpy.typing import NDArray

from benchbench.extras import require_extra
from benchbench.images.arrays import Floats
from benchbench.images.label_maps import suffix_of
from benchbench.images.nifti_header import read_header

Labels = NDArray[np.uint8]
_GZIP_MAGIC = b"\x1f\x8b"
_NRRD_PLACE = ("space", "space dimension", "space directions", "space origin", "space units", "spacings", "units")
"""Fields of an NRRD header that place its voxels in the world."""


def label_suffix(image: Path) -> str:
    """Return the ending of a label file of an image: that of the image, or .nii.gz for an unknown format."""
    suffix = suffix_of(image.name) or ".nii.gz"
    return {".tiff": ".tif", ".seg.nrrd": ".nrrd"}.get(suffix, suffix)


def label_content(labels: Labels, image: Path, *, affine: Floats | None) -> bytes:
    """Return the content of a label file for labels (*space) on the grid of an image file, which exists.

    NIfTI keeps both affines with their codes, the voxel size and the units, in the version of NIfTI of the image;
    a label has no scaling, intent or range of display. An image of another format gets NIfTI with the affine.
    """
    if suffix_of(image.name) is None:
        return new_nifti(labels, affine)
    return _WRITERS[label_suffix(image)](labels, image)


def new_nifti(labels: Labels, affine: Floats | None) -> bytes:
    """Return the content of a .nii.gz file; the affine is the identity, without a unit, where none is known."""
    unit = "mm"
    if affine is None:
        affine, unit = np.eye(4), "unknown"
    image = nib.nifti1.Nifti1Image(np.ascontiguousarray(labels), affine)
    image.header.set_xyzt_units(unit)
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)


def _nifti(labels: Labels, image: Path) -> bytes:
    with image.open("rb") as file:
        is_compressed = file.read(2) == _GZIP_MAGIC
    with igzip.open(image) if is_compressed else image.open("rb") as stream:
        header = read_header(stream)
    header.set_data_dtype(np.uint8)
    header["dim"] = [3, *labels.shape, *[1] * 4]
    header["vox_offset"] = header.single_vox_offset
    for field in ("scl_slope", "scl_inter", "cal_max", "cal_min", "intent_code", "slice_code", "slice_duration"):
        header[field] = 0
    header["intent_name"] = b""
    padding = bytes(header.single_vox_offset - len(header.binaryblock))  # no extensions
    block: bytes = header.binaryblock
    return block + padding + labels.tobytes(order="F")


def _compressed_nifti(labels: Labels, image: Path) -> bytes:
    return gzip.compress(_nifti(labels, image), compresslevel=6, mtime=0)


def _tiff(labels: Labels, _image: Path) -> bytes:
    import tifffile  # noqa: PLC0415 needed only for TIFF

    content = io.BytesIO()
    tifffile.imwrite(content, labels, photometric="minisblack", metadata=None, software=False, compression="zlib")
    return content.getvalue()


def _png(labels: Labels, _image: Path) -> bytes:
    from PIL import Image  # noqa: PLC0415 needed only for PNG

    content = io.BytesIO()
    Image.fromarray(labels).save(content, "png")
    return content.getvalue()


def _nrrd(labels: Labels, image: Path) -> bytes:
    require_extra("nrrd", f"{image}: NRRD")
    import nrrd  # noqa: PLC0415 an extra

    stored: Mapping[str, Any] = nrrd.read_header(str(image))
    header = {field: stored[field] for field in _NRRD_PLACE if field in stored}
    content = io.BytesIO()
    nrrd.write(content, labels, header)
    return content.getvalue()


_WRITERS: Mapping[str, Callable[[Labels, Path], bytes]] = {
    ".nii.gz": _compressed_nifti,
    ".nii": _nifti,
    ".tif": _tiff,
    ".png": _png,
    ".nrrd": _nrrd,
}
