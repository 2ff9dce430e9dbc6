"""Made-up images and masks with the names, channels and values that a benchmark file describes.

Source: none; blobs of other brightness on smooth noise, which say nothing about real images.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from benchbench.images.arrays import Floats, Mask
from benchbench_datasets.folder_masks import Values, listed
from benchbench_datasets.folder_writers import is_plane_format, write_image
from benchbench_datasets.name_pattern import NamePattern

_SLICES = 6
_FEWEST_VOXELS = 8
_STORED_TYPES = ("uint8", "int16", "uint16", "int32", "float32", "float64")
_CASES = 2
"""Number of cases of a patient, where the names have both."""


def write_phantom(  # noqa: PLR0913 as many as the layout has options
    root: Path,
    *,
    patients: int,
    size: int,
    seed: int,
    images: str | tuple[str, ...] = "images/{case}.png",
    masks: str | dict[str, str] = "masks/{case}.png",
    readers: dict[str, str] | None = None,
    regions: dict[str, Values] | None = None,
    channels: tuple[str, ...] = (),
    spacing_mm: tuple[float, ...] = (),
    table: str = "",
    case_column: str = "case",
    patient_column: str = "",
    labelled_column: str = "",
    phantom_shape: tuple[int, ...] = (),
    phantom_spacing_mm: tuple[float, ...] = (),
    phantom_dtype: str = "",
) -> None:
    """Write made-up cases; the same seed gives the same bytes.

    Cases have the proportions of `phantom_shape` and at most `size` voxels along an axis. Without it, volumes have
    `size` voxels along two axes and a quarter of it along the third; the slices of a case are six.
    """
    image_patterns = _patterns(images)
    writer = _Writer(
        root=root,
        images=image_patterns,
        masks=_patterns(readers or masks),
        has_readers=bool(readers),
        values=_mask_values(masks, regions),
        channels=len(channels) or len(image_patterns),
        spacing_mm=phantom_spacing_mm or spacing_mm,
        shape=phantom_shape,
        dtype=_stored_type(phantom_dtype),
    )
    rows: list[tuple[str, str]] = []
    for number, names in enumerate(_names(patients, image_patterns[0])):
        writer.write_case(np.random.default_rng([seed, number]), names, size=size)
        case = names.get("case") or names["patient"]
        rows.append((case, names.get("patient") or f"patient_{number // _CASES}"))
    if table:
        (root / table).write_text(_table(rows, case_column, patient_column, labelled_column), encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class _Writer:
    """Writes cases into a folder."""

    root: Path
    images: Sequence[NamePattern]
    masks: Sequence[NamePattern]
    has_readers: bool
    """True where each of `masks` is that of a reader, not of a region."""
    values: Sequence[Values]
    """The value of each region in its mask."""
    channels: int
    spacing_mm: tuple[float, ...]
    shape: tuple[int, ...]
    """Typical size of a case; () where it is not known."""
    dtype: np.dtype[Any]
    """Type of the images."""

    def write_case(self, rng: Generator, names: Mapping[str, str], *, size: int) -> None:
        """Write all files of a case."""
        is_plane = is_plane_format(self.images[0].text)
        has_slices = "slice" in self.images[0].fields
        grid = self._grid(size, is_plane=is_plane, has_slices=has_slices)
        blobs = [_draw_blob(rng, grid) for _ in self.values]
        channels = [_draw_channel(rng, blobs) for _ in range(self.channels)]
        image = np.stack(channels).astype(self.dtype)
        for number in range(grid[2] if has_slices else 1):
            part = np.s_[..., number] if is_plane else np.s_[...]
            fields = {**names, "slice": str(number + 1)}
            self._write_images(image[part], fields)
            self._write_masks([blob[part] for blob in blobs], fields)

    def _grid(self, size: int, *, is_plane: bool, has_slices: bool) -> tuple[int, int, int]:
        """Return rows, columns and slices of planes, or the axes of volumes."""
        shape = _scaled(self.shape, size)
        if is_plane:
            rows, columns = shape[-2:] or (size, size)
            slices = shape[0] if len(shape) == 3 else _SLICES
            return rows, columns, slices if has_slices else 1
        if len(shape) == 3:
            return shape[0], shape[1], shape[2]
        return size, size, max(8, size // 4)

    def _write_images(self, image: NDArray[Any], fields: Mapping[str, str]) -> None:
        """Write the channels (C, *space) in one file, or in a file for each."""
        parts = [image] if len(self.images) == 1 else [channel[None] for channel in image]
        for pattern, part in zip(self.images, parts, strict=True):
            write_image(self._path(pattern, fields), part, spacing_mm=self.spacing_mm)

    def _write_masks(self, blobs: Sequence[Mask], fields: Mapping[str, str]) -> None:
        """Write the regions in one file with a value for each, or in a file for each."""
        if len(self.masks) > 1 and not self.has_readers:
            for pattern, blob in zip(self.masks, blobs, strict=True):
                mask = blob.astype(np.uint8) * 255
                write_image(self._path(pattern, fields), mask[None], spacing_mm=self.spacing_mm)
            return
        values = [_channels_of(value) for value in self.values]
        mask = np.zeros((len(values[0]), *blobs[0].shape), np.uint8 if max(map(max, values)) < 256 else np.uint16)
        for value, blob in zip(values, blobs, strict=True):
            mask[:, blob] = np.array(value)[:, None]
        for number, pattern in enumerate(self.masks):
            # readers draw the same blobs at places that differ a little
            drawn = np.roll(mask, number, axis=1)
            write_image(self._path(pattern, fields), drawn, spacing_mm=self.spacing_mm)

    def _path(self, pattern: NamePattern, fields: Mapping[str, str]) -> Path:
        path = self.root / pattern.fill(fields).replace("*", "x")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _scaled(shape: Sequence[int], size: int) -> tuple[int, ...]:
    """Return a shape in its proportions with at most `size` voxels along an axis, and 8 where it has as many."""
    factor = min(1.0, size / max(shape, default=1))
    return tuple(max(round(length * factor), min(length, _FEWEST_VOXELS)) for length in shape)


def _stored_type(name: str) -> np.dtype[Any]:
    """Return a type that files can have; a type that none has is stored as 32-bit numbers."""
    if name in _STORED_TYPES:
        return np.dtype(name)
    if name.startswith("float"):
        return np.dtype(np.float32)
    return np.dtype(np.int32 if name.startswith("int") else np.uint8)


def _patterns(texts: str | tuple[str, ...] | dict[str, str]) -> list[NamePattern]:
    if isinstance(texts, str):
        return [NamePattern(texts)]
    return [NamePattern(text) for text in (texts.values() if isinstance(texts, dict) else texts)]


def _mask_values(masks: str | dict[str, str], regions: Mapping[str, Values] | None) -> list[Values]:
    """Return the value of each region; 255 where each has a file of its own."""
    if isinstance(masks, dict):
        return [255] * len(masks)
    return [listed(entry)[0] for entry in ({"foreground": 255} if regions is None else regions).values()]


def _channels_of(value: Values) -> tuple[int, ...]:
    """Return a number as one channel, and a colour as red, green and blue."""
    if isinstance(value, str):
        return tuple(bytes.fromhex(value[1:]))
    return (int(value),) if isinstance(value, int) else _channels_of(value[0])


def _names(patients: int, pattern: NamePattern) -> Iterator[dict[str, str]]:
    """Yield the fields of each case, without the slice."""
    for number in range(1, patients + 1):
        if pattern.fields >= {"patient", "case"}:
            for case in range(1, _CASES + 1):
                yield {"patient": f"p{number:03}", "case": f"p{number:03}c{case}"}
        else:
            (field,) = pattern.fields - {"slice"}
            yield {field: f"p{number:03}"}


def _draw_blob(rng: Generator, shape: tuple[int, ...]) -> Mask:
    """Return an ellipsoid with an irregular border."""
    centre = rng.uniform(0.35, 0.65, 3) * shape
    radii = rng.uniform(0.12, 0.22, 3) * shape
    radii[2] = max(radii[2], 0.6 * shape[2])  # in all slices
    axes = np.ogrid[tuple(slice(length) for length in shape)]
    distance = sum(
        ((axis - middle) / radius) ** 2 for axis, middle, radius in zip(axes, centre, radii, strict=True)
    )
    blob: Mask = distance + 0.2 * _smooth(rng, shape, width=shape[0] / 16) < 1
    return blob


def _draw_channel(rng: Generator, blobs: Sequence[Mask]) -> NDArray[np.uint8]:
    """Return smooth noise in which each blob has a brightness of its own."""
    shape = blobs[0].shape
    channel = 70 + 12 * _smooth(rng, shape, width=shape[0] / 8) + rng.normal(0, 6, shape)
    for number, blob in enumerate(blobs, start=1):
        channel[blob] += 40 + 60 * number / len(blobs)
    return channel.clip(0, 255).astype(np.uint8)


def _smooth(rng: Generator, shape: tuple[int, ...], *, width: float) -> Floats:
    """Return a random field of mean 0 and SD 1."""
    field: Floats = ndimage.gaussian_filter(rng.standard_normal(shape), (width, width, 0))
    field -= field.mean()
    field /= field.std() or 1
    return field


def _table(rows: Sequence[tuple[str, str]], case_column: str, patient_column: str, labelled_column: str) -> str:
    """Return a CSV table of the cases, with a made-up column; all regions are labelled."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    patients = [patient_column] if patient_column else []
    labelled = [labelled_column] if labelled_column else []
    writer.writerow([case_column, *patients, *labelled, "site"])
    for number, (case, patient) in enumerate(rows):
        columns = [patient] if patients else []
        columns += [""] if labelled else []
        writer.writerow([case, *columns, "AB"[number // _CASES % 2]])
    return text.getvalue()
