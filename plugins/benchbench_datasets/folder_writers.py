"""Writes images as NIfTI, NRRD, TIFF and PNG files, always with the same bytes."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from benchbench.extras import require_extra

_PLANES = (".png", ".tif", ".tiff")


def is_plane_format(name: str) -> bool:
    """Return True if a file of this name holds a plane, False if it holds a volume."""
    return name.lower().endswith(_PLANES)


def write_image(path: Path, image: NDArray[Any], *, spacing_mm: tuple[float, ...] = ()) -> None:
    """Write the channels (C, *space) of an image; the ending of the name decides the format.

    Several channels are colours in PNG and TIFF, and a fourth axis in NIfTI.
    """
    path.write_bytes(_content(path.name.lower(), image, spacing_mm))


def _content(name: str, image: NDArray[Any], spacing_mm: tuple[float, ...]) -> bytes:
    last = np.ascontiguousarray(np.moveaxis(image, 0, -1) if len(image) > 1 else image[0])
    stream = io.BytesIO()
    if name.endswith(".png"):
        Image.fromarray(_png_values(last)).save(stream, "png")
    elif name.endswith((".tif", ".tiff")):
        photometric = "rgb" if len(image) == 3 else "minisblack"
        planar = "contig" if len(image) > 1 else None
        tifffile.imwrite(stream, last, photometric=photometric, planarconfig=planar, metadata=None, software=False)
    elif name.endswith(".nrrd"):
        require_extra("nrrd", f"{name}: NRRD")
        import nrrd  # noqa: PLC0415 an extra

        nrrd.write(stream, last, {"spacings": list(spacing_mm) or [1.0] * last.ndim})
    else:
        volume = nib.nifti1.Nifti1Image(last, np.diag([*(spacing_mm or (1.0, 1.0, 1.0)), 1.0]))
        volume.header.set_xyzt_units("mm")
        content = volume.to_bytes()
        return gzip.compress(content, mtime=0) if name.endswith(".gz") else content
    return stream.getvalue()


def _png_values(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels in a type that PNG has: 16 bits for one channel, or else 8."""
    if pixels.ndim == 2 and pixels.dtype == np.uint16:
        return pixels
    return pixels.astype(np.uint8)
