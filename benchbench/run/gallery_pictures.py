"""Saves the pictures of test cases that galleries show, so that a report needs the results only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from benchbench.engine.inference.pictures import (
    Picture,
    planes_through,
    reference_masks,
    render_plane,
    window_of_plane,
)
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import Mask
from benchbench.images.planes import Plane
from benchbench.metrics.masks import pack

MOST_PLANES = 15
"""Further planes of a case, at most."""
_LONGEST_SIDE = 320  # pixels: no panel of a gallery is larger
_JPEG_QUALITY = 85
_FURTHER_LONGEST_SIDE = 192  # up to 15 for each case have together the bytes of a few large pictures
_FURTHER_QUALITY = 70


def picture_rows(
    prepared: PreparedCase, regions: Sequence[str], colours: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each plane that galleries show: its position, image (JPEG) and reference mask per region.

    A mask has the size of the plane; the image has at most 320 pixels along a side.
    """
    reference = reference_masks(prepared, regions=len(regions))
    for plane in planes_through(prepared, reference):
        masks = plane.cut(reference.swapaxes(0, 1))
        image = _encode_jpeg(render_plane(prepared, plane), _LONGEST_SIDE, _JPEG_QUALITY)
        yield _row(prepared, plane, image, dict(zip(regions, masks, strict=True)), colours)


def further_rows(
    prepared: PreparedCase, first: Plane, regions: Sequence[str], colours: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield a row, as `picture_rows` does, for up to 15 more planes, evenly spaced over the case.

    They are parallel to `first`, whose values set black and white. An image has at most 192 pixels along a side.
    """
    window = window_of_plane(prepared, first)
    label = prepared.native_label()
    for number in _spaced_slices(prepared):
        if number == first.at:
            continue
        name = f"slice {number + 1} of {prepared.frame.shape[0]}"
        plane = first._replace(name=name, at=number)
        bits = plane.cut(label)
        masks = {region: (bits >> place) & 1 > 0 for place, region in enumerate(regions)}
        picture = render_plane(prepared, plane, window=window)
        image = _encode_jpeg(picture, _FURTHER_LONGEST_SIDE, _FURTHER_QUALITY)
        yield _row(prepared, plane, image, masks, colours)


def _spaced_slices(prepared: PreparedCase) -> list[int]:
    """Return the numbers of evenly spaced slices, from the first to the last one of the cropped part."""
    start, stop = prepared.frame.box[0]
    spaced = np.linspace(start, stop - 1, min(MOST_PLANES, stop - start))
    numbers: list[int] = np.unique(spaced.round().astype(int)).tolist()
    return numbers


def _row(
    prepared: PreparedCase, plane: Plane, image: bytes, masks: Mapping[str, Mask], colours: Mapping[str, str]
) -> dict[str, Any]:
    packed = []
    for region, mask in masks.items():
        colour = colours.get(region, "")
        packed.append({"region": region, "colour": colour, **pack(np.ascontiguousarray(mask))})
    return {"case": prepared.case.id, **plane._asdict(), "image": image, "truth": packed}


def _encode_jpeg(image: Picture, longest_side: int, quality: int) -> bytes:
    """Return the content of a JPEG file, with one channel if all three are equal."""
    height, width = image.shape[:2]
    factor = longest_side / max(height, width)
    if factor < 1:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    first = image[..., :1]
    is_grey = bool((image == first).all())
    channels = image[..., 0] if is_grey else image[..., ::-1]  # OpenCV expects BGR
    _, content = cv2.imencode(".jpg", channels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    encoded: bytes = content.tobytes()
    return encoded
