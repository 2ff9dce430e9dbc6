"""Saves the pictures of test cases that galleries show, so that a report needs the results only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from benchbench.engine.inference.pictures import Picture, planes_through, reference_masks, render_plane
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.metrics.masks import pack

_LONGEST_SIDE = 320  # pixels: no panel of a gallery is larger
_JPEG_QUALITY = 85


def picture_rows(
    prepared: PreparedCase, regions: Sequence[str], colours: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each plane that galleries show: its position, image (JPEG) and reference mask per region.

    A mask has the size of the plane; the image has at most 320 pixels along a side.
    """
    reference = reference_masks(prepared, regions=len(regions))
    for plane in planes_through(prepared, reference):
        masks = plane.cut(reference.swapaxes(0, 1))
        packed = []
        for region, mask in zip(regions, masks, strict=True):
            colour = colours.get(region, "")
            packed.append({"region": region, "colour": colour, **pack(np.ascontiguousarray(mask))})
        yield {
            "case": prepared.case.id,
            **plane._asdict(),
            "image": _encode_jpeg(render_plane(prepared, plane)),
            "truth": packed,
        }


def _encode_jpeg(image: Picture) -> bytes:
    """Return the content of a JPEG file, with one channel if all three are equal."""
    height, width = image.shape[:2]
    factor = _LONGEST_SIDE / max(height, width)
    if factor < 1:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    first = image[..., :1]
    is_grey = bool((image == first).all())
    channels = image[..., 0] if is_grey else image[..., ::-1]  # OpenCV expects BGR
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, content = cv2.imencode(".jpg", channels, options)
    encoded: bytes = content.tobytes()
    return encoded
