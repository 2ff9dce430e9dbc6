"""Reads the pixels of a TIFF file: one image, or a stack of all its pages."""

from __future__ import annotations

import logging
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from benchbench.extras import install_command
from benchbench.images.input_files import COMPRESSION, COPY_AGAIN, FileFault, check_size, read_file
from benchbench.images.tiff_directories import count_pages

# tifffile logs what it skips, and Python would print that where no handler is set; here a skipped page is an error
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_NOT_SUPPORTED = re.compile(r"COMPRESSION\..* not supported")


class Pixels(NamedTuple):
    """The pixels of a file as stored: neither scaled nor converted."""

    values: NDArray[Any]
    """(*stack, H, W), or (*stack, H, W, samples) for colours."""
    samples: int
    """Number of values of a pixel; 1 for one plane, and for colours that are stored plane by plane."""


def read_tiff(path: Path) -> Pixels:
    """Read all pages of a TIFF file.

    Pages of one size are a stack, also if they were written one by one. An image whose colours are stored plane by
    plane is a stack as well: tifffile stores three or four slices of uint8 or uint16 like this.

    Raises:
        DataError: "<path>: found ..., expected ...; what to do".
    """
    return read_file(path, _read, kind="a TIFF file")


def _read(path: Path) -> Pixels:
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        count = count_pages(stream, size)
        stream.seek(0)
        with tifffile.TiffFile(stream, name=path.name, _multifile=False) as file:
            pages, series = list(file.pages), list(file.series)
            if len(pages) != count or not series:
                raise FileFault(
                    f"found {len(pages)} pages that can be read", f"all {count} of the file", COPY_AGAIN
                )
            _check_sizes(pages, series, size=size)
            try:
                return _decode(pages, series)
            except Exception as error:
                raise _decoding_fault(error, file) from error


def _decode(pages: Sequence[Any], series: Sequence[Any]) -> Pixels:
    if len(series) == 1:
        # tifffile's threads cost more than they save in small planes; cases are read in parallel in any case
        values, axes = series[0].asarray(maxworkers=1), series[0].axes
    else:
        _check_one_size(pages, series)
        values = np.stack([page.asarray(maxworkers=1) for page in pages])
        axes = f"Q{pages[0].axes}"
    samples = values.shape[-1] if axes.endswith("S") else 1
    return Pixels(values, samples)


def _check_sizes(pages: Sequence[Any], series: Sequence[Any], *, size: int) -> None:
    """Raise FileFault before memory is allocated for more pixels than the file can contain."""
    total = sum(part.nbytes for part in series)
    check_size(total, f"{total:,} bytes of pixels")
    contents = 0
    for page in pages:
        keyframe = page.keyframe
        described = f"a page of {keyframe.dtype} {keyframe.shape}"
        check_size(keyframe.nbytes, described, is_plane=True)
        chunk = math.prod(keyframe.chunks) * keyframe.dtype.itemsize
        check_size(chunk, f"{described} in parts of {keyframe.chunks}", is_plane=True)
        stored = sum(page.databytecounts)
        contents += stored if keyframe.compression == 1 else stored * COMPRESSION
    if total > max(contents, size if len(pages) < _planes(series) else 0):
        raise FileFault(f"found at most {contents:,} bytes", f"the {total:,} bytes of its pages", COPY_AGAIN)


def _check_one_size(pages: Sequence[Any], series: Sequence[Any]) -> None:
    """Raise FileFault unless the pages are slices of one size, and no page holds more than one."""
    shapes = Counter(page.shape for page in pages)
    if len(shapes) > 1:
        sizes = " and ".join(str(shape) for shape in shapes)
        raise FileFault(f"found pages of {sizes}", "slices of one size", "save each image in a file of its own")
    if len(pages) != _planes(series):
        finding = f"found {len(series)} images in {len(pages)} pages"
        raise FileFault(finding, "one stack", "save each image in a file of its own")


def _planes(series: Sequence[Any]) -> int:
    """Return the number of planes of all series; a page of ImageJ may hold several."""
    planes = 0
    for part in series:
        planes += part.size // part.keyframe.size
    return planes


def _decoding_fault(error: Exception, file: Any) -> Exception:
    """Return the error, or a fault that names what to install for a compression that tifffile cannot decode."""
    # an import error: tifffile tries a module of later versions of Python in place of imagecodecs
    is_of_codec = isinstance(error, ImportError) or "imagecodecs" in str(error)
    if not is_of_codec and not _NOT_SUPPORTED.search(str(error)):
        return error
    compression = file.pages[0].compression
    name = getattr(compression, "name", compression)
    return FileFault(
        f"found pixels stored in a way ({name}) that needs the package imagecodecs",
        "none, zlib or packbits where it is not installed",
        install_command("tiff"),
    )
