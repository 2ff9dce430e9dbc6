"""Damaged NIfTI, TIFF and PNG files, and what reads them: `score` and a dataset."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zlib
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import tifffile
from fuzz_bytes import damage_bytes, draw_edge, overwrite
from PIL import Image

from benchbench.contract import Dataset
from benchbench.data.verify import verify
from benchbench.images.nifti import read_image
from benchbench.registry.registry import discover
from benchbench.scoring import Scoring
from benchbench.scoring.case import measure_case

_SHAPE = (12, 10, 5)
_NIFTI_FIELDS = (
    (40, "h", 8),
    (70, "h", 1),
    (72, "h", 1),
    (76, "f", 8),
    (108, "f", 3),
    (123, "b", 1),
    (252, "h", 2),
)
_NIFTI_FIELDS += ((256, "f", 18), (344, "b", 4), (0, "i", 1))
"""Position, type and number of the fields of a NIfTI-1 header."""
_NUMBERS = (0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), 0.5, 255.0, 3e9)
_TAG_VALUES = (0, 1, 2, 3, 4, 5, 7, 8, 16, 32, 64, 32773, 32946, 34712, 34925, 50000, 65535, 2**31, 2**32 - 1)
_SCORING = Scoring(regions={"one": (1,), "both": (1, 2)}, metrics=("dice",))


def draw_nifti(rng: random.Random, folder: Path) -> Path:
    """Write a damaged .nii or .nii.gz file."""
    content = rng.choice(_niftis())
    for _ in range(rng.choice((0, 1, 1, 2))):
        content = _damage_field(rng, content)
    if rng.random() < 0.5:
        content = damage_bytes(rng, content)
    name = rng.choice(("a.nii", "a.nii.gz"))
    if rng.random() < 0.5:
        content = gzip.compress(content, 1)
        if rng.random() < 0.5:
            content = damage_bytes(rng, content)
    return _write(folder / name, content)


def read_nifti(path: Path) -> None:
    """Read the file as a label and as an image."""
    reference = path.parent / "reference.nii"
    if not reference.exists():
        reference.write_bytes(_niftis()[0])
    _score(reference, path)
    read_image(path)


def draw_tiff(rng: random.Random, folder: Path) -> Path:
    """Write a damaged TIFF file."""
    content = rng.choice(_tiffs())
    for _ in range(rng.choice((0, 1, 1, 2))):
        content = _damage_tag(rng, content)
    if rng.random() < 0.6:
        content = damage_bytes(rng, content)
    return _write(folder / "a.tif", content)


def read_tiff(path: Path) -> None:
    """Read the file as a label map, and as image and mask of LGG."""
    reference = path.parent / "reference.tif"
    if not reference.exists():
        reference.write_bytes(_tiffs()[0])
    try:
        _score(reference, path)
    finally:
        slices = path.parent / "lgg" / "TCGA_XX_0001_20000101"
        slices.mkdir(parents=True, exist_ok=True)
        for name in (f"{slices.name}_1.tif", f"{slices.name}_1_mask.tif"):
            (slices / name).write_bytes(path.read_bytes())
        _verify("lgg", slices.parent)


def draw_png(rng: random.Random, folder: Path) -> Path:
    """Write a damaged PNG file."""
    content = rng.choice(_pngs())
    for _ in range(rng.choice((0, 1, 1, 2))):
        content = _damage_chunk(rng, content)
    if rng.random() < 0.4:
        content = damage_bytes(rng, content)
    return _write(folder / "a.png", content)


def read_png(path: Path) -> None:
    """Read the file as a label map."""
    reference = path.parent / "reference.png"
    if not reference.exists():
        reference.write_bytes(_pngs()[0])
    _score(reference, path)


def _score(reference: Path, path: Path) -> None:
    measure_case("a", reference, path, _SCORING)


def _verify(name: str, root: Path) -> None:
    dataset: Dataset = discover([name]).dataset(name).open(root)
    verify(dataset, threads=1, progress=lambda: None)


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _label(dtype: str = "u1") -> np.ndarray:
    label = np.zeros(_SHAPE, dtype)
    label[2:6, 3:7, 1:4] = 1
    label[3:5, 4:6, 2] = 2
    return label


@cache
def _niftis() -> list[bytes]:
    affine = np.diag([-1.0, -2, 3, 1])
    return [
        nibabel.Nifti1Image(_label(), affine).to_bytes(),
        nibabel.Nifti1Image(_label("i2"), affine).to_bytes(),
        nibabel.Nifti1Image(_label("f4"), affine).to_bytes(),
        nibabel.Nifti1Image(_label("f8")[..., None], affine).to_bytes(),
        nibabel.Nifti2Image(_label("i4"), affine).to_bytes(),
    ]


@cache
def _tiffs() -> list[bytes]:
    stack = np.moveaxis(_label(), -1, 0)
    settings = [
        {},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16), "compression": "zlib"},
        {"tile": (16, 16)},
        {"metadata": None},
        {"imagej": True},
        {"ome": True, "compression": "zlib"},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"rowsperstrip": 2, "compression": "zlib"},
    ]
    files = [_tiff(stack, photometric="minisblack", **setting) for setting in settings]
    files.append(_tiff(stack[:3], photometric="rgb", planarconfig="separate"))
    files.append(_tiff(np.repeat(stack[0, ..., None], 3, axis=-1), photometric="rgb"))
    files.append(_tiff(stack.astype(np.float32), photometric="minisblack", compression="zlib"))
    files.append(_tiff(stack > 0, photometric="minisblack"))
    for compression in ("packbits", "tiff_lzw", "jpeg"):
        file = io.BytesIO()
        Image.fromarray(stack[2]).save(file, "TIFF", compression=compression)
        files.append(file.getvalue())
    return files


def _tiff(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


@cache
def _pngs() -> list[bytes]:
    plane = _label()[..., 2]
    palette = Image.fromarray(plane).convert("P")
    images = [
        Image.fromarray(plane),
        Image.fromarray(plane.astype(np.uint16)),
        palette,
        Image.fromarray(plane > 0),
    ]
    images.append(Image.fromarray(plane).convert("RGB"))
    files = [io.BytesIO() for _ in images]
    for image, file in zip(images, files, strict=True):
        image.save(file, "PNG")
    return [file.getvalue() for file in files]


def _damage_field(rng: random.Random, content: bytes) -> bytes:
    start, kind, count = rng.choice(_NIFTI_FIELDS)
    place = start + rng.randrange(count) * struct.calcsize(kind)
    if place + struct.calcsize(kind) > len(content):
        return content
    if kind == "f":
        return overwrite(content, place, "<f", rng.choice(_NUMBERS))
    bits = 8 * struct.calcsize(kind)
    return overwrite(content, place, f"<{kind}", draw_edge(rng, 2 ** (bits - 1) - 1) * rng.choice((1, 1, -1)))


def _damage_tag(rng: random.Random, content: bytes) -> bytes:
    """Change number, type, count or value of a tag of one of the pages of a classic, little-endian TIFF."""
    if content[:4] != b"II*\0" or len(content) < 8:
        return content
    pages = []
    (position,) = struct.unpack_from("<I", content, 4)
    while 0 < position < len(content) - 2 and position not in pages:
        pages.append(position)
        (count,) = struct.unpack_from("<H", content, position)
        if position + 6 + 12 * count > len(content):
            break
        (position,) = struct.unpack_from("<I", content, position + 2 + 12 * count)
    page = rng.choice(pages)
    (count,) = struct.unpack_from("<H", content, page)
    entry = page + 2 + 12 * rng.randrange(max(count, 1))
    part, form = rng.choice(((0, "<H"), (2, "<H"), (4, "<I"), (8, "<I"), (8, "<I"), (8, "<I"), (8, "<H")))
    most = 2 ** (8 * struct.calcsize(form)) - 1
    value = min(rng.choice((*_TAG_VALUES, rng.randrange(2**32), rng.randrange(400))), most)
    if rng.random() < 0.1:  # the position of the next page
        entry, part, form, value = page + 2 + 12 * count, 0, "<I", rng.choice((*pages, 8, 2**31))
    if entry + part + struct.calcsize(form) > len(content):
        return content
    return overwrite(content, entry + part, form, value)


def _damage_chunk(rng: random.Random, content: bytes) -> bytes:
    """Change a byte or a number of a chunk and correct its checksum."""
    chunks = []
    position = 8
    while position + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        chunks.append((kind, content[position + 8 : position + 8 + length]))
        position += 12 + length
    place = rng.randrange(len(chunks))
    kind, data = chunks[place]
    if data and rng.random() < 0.7:
        data = damage_bytes(rng, data)
    elif kind == b"IHDR":
        data = overwrite(data, rng.choice((0, 4)), ">I", draw_edge(rng, 2**32 - 1))
    else:
        chunks.insert(rng.randrange(len(chunks)), chunks[place])
        data, kind = b"", rng.choice((kind, b"acTL", b"PLTE", b"tRNS", b"iCCP", b"zTXt"))
    chunks[place] = (kind, data)
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return content[:8] + b"".join(packed)
