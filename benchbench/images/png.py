"""Reads the stored values of a PNG file: the indices of a palette, and grey values of any depth.

Pillow scales grey values of 2 and 4 bits to 255 and compares no checksums of pixels, so both is done here.

Source: PNG, https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from benchbench.images.input_files import (
    COMPRESSION,
    COPY_AGAIN,
    FileFault,
    check_size,
    describe_content,
    read_file,
)

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EXPECTED = "a whole PNG file"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type -> number of samples of a pixel; 0 is grey and 3 a palette."""
_PALETTE = 3


class _Header(NamedTuple):
    width: int
    height: int
    depth: int
    """Bits of a sample."""
    samples: int
    is_palette: bool


def read_png(path: Path) -> NDArray[Any]:
    """Return the stored values (H, W) of a grey or palette PNG.

    Raises:
        DataError: "<path>: found ..., expected ...; what to do".
    """
    return read_file(path, _read, kind="a PNG file")


def read_png_image(path: Path) -> NDArray[Any]:
    """Return the grey values (H, W), or the colours (H, W, samples), of a PNG.

    Raises:
        DataError: "<path>: found ..., expected ...; what to do".
    """
    return read_file(path, _read_image, kind="a PNG file")


def _read(path: Path) -> NDArray[Any]:
    header = _read_checked_header(path)
    if header.samples > 1:
        advice = "save the label values, not colours"
        raise FileFault(f"found {header.samples} samples per pixel", "one", advice)
    return _decode(path, header)


def _read_image(path: Path) -> NDArray[Any]:
    header = _read_checked_header(path)
    if header.is_palette:
        raise FileFault("found numbers of a palette", "intensities", "save the image in grey or in colours")
    return _decode(path, header)


def _read_checked_header(path: Path) -> _Header:
    size = path.stat().st_size
    check_size(size, f"a PNG file of {size:,} bytes")
    return _check_chunks(path.read_bytes())


def _decode(path: Path, header: _Header) -> NDArray[Any]:
    with PngImageFile(path) as image:
        values: NDArray[Any] = np.array(image)
    if image.mode == "L" and header.depth < 8:
        values //= 255 // (2**header.depth - 1)  # Pillow has multiplied them
    return values


def _check_chunks(content: bytes) -> _Header:
    """Return the header of a file whose chunks match their checksums and whose image is not too large."""
    if not content.startswith(_SIGNATURE):
        raise FileFault(f"found {describe_content(content[:512])}", "a PNG file", COPY_AGAIN)
    header = None
    for kind, data in _chunks(content):
        if kind == b"IHDR" and header is None:
            header = _read_header(data)
        if kind == b"acTL":
            raise FileFault("found an animation", "one image", "save one label map per file")
        if kind == b"IEND":
            break
    if header is None:
        raise FileFault("found no header", _EXPECTED, COPY_AGAIN)
    described = f"{header.width} x {header.height} pixels of {header.samples * header.depth} bits"
    nbytes = header.width * header.height * header.samples * max(header.depth, 8) // 8
    check_size(nbytes, described, is_plane=True)
    stored = header.width * header.height * header.samples * header.depth // 8
    if stored > len(content) * COMPRESSION:
        raise FileFault(f"found {described} in {len(content):,} bytes", _EXPECTED, COPY_AGAIN)
    return header


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and data of each chunk up to the last one, IEND."""
    position = len(_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        start = content[position : position + 8]
        if len(start) < 8:
            raise FileFault("found a file that was cut short", _EXPECTED, COPY_AGAIN)
        length, kind = struct.unpack(">I4s", start)
        end = position + 8 + length
        data, checksum = content[position + 8 : end], content[end : end + 4]
        if zlib.crc32(data, zlib.crc32(kind)) != int.from_bytes(checksum, "big") or len(checksum) < 4:
            finding = f"found a part '{kind.decode('latin-1')}' that does not match its checksum"
            raise FileFault(finding, _EXPECTED, COPY_AGAIN)
        yield kind, data
        position = end + 4


def _read_header(data: bytes) -> _Header:
    if len(data) != 13:
        raise FileFault(f"found a header of {len(data)} bytes", "13", COPY_AGAIN)
    width, height, depth, colours = struct.unpack(">IIBB", data[:10])
    if not width or not height or colours not in _SAMPLES:
        finding = f"found {width} x {height} pixels of colour type {colours}"
        raise FileFault(finding, "an image of a known type", COPY_AGAIN)
    return _Header(width, height, depth, _SAMPLES[colours], colours == _PALETTE)
