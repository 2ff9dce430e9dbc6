"""Keeps of every test case the picture that galleries show, so that a report can draw them from results alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from benchbench.engine.inference.pictures import Picture, picture, planes_through, truth_masks
from benchbench.engine.preparation.prepare import PreparedCase
from benchbench.metrics.masks import pack

_LONGEST = 320  # pixels of a kept picture: no panel of a gallery is larger
_QUALITY = 85


def picture_rows(
    prepared: PreparedCase, regions: Sequence[str], colours: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """A row for each plane of a case that is shown: where it lies, its image as JPEG, the truth of each region.

    A mask has the plane's own size, the image at most `_LONGEST` pixels along a side.
    """
    truth = truth_masks(prepared, regions=len(regions))
    for plane in planes_through(prepared, truth):
        masks = [np.ascontiguousarray(mask) for mask in plane.cut(truth.swapaxes(0, 1))]
        named = zip(regions, masks, strict=True)
        yield {
            "case": prepared.case.id,
            **plane._asdict(),
            "image": _jpeg(picture(prepared, plane)),
            "truth": [{"region": name, "colour": colours.get(name, ""), **pack(mask)} for name, mask in named],
        }


def _jpeg(shown: Picture) -> bytes:
    """The content of a file, of one channel where all three are alike."""
    factor = _LONGEST / max(shown.shape[:2])
    if factor < 1:
        height, width = (max(1, round(size * factor)) for size in shown.shape[:2])
        shown = cv2.resize(shown, (width, height), interpolation=cv2.INTER_AREA)
    is_grey = bool((shown == shown[..., :1]).all())
    _, content = cv2.imencode(
        ".jpg", shown[..., 0] if is_grey else shown[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    encoded: bytes = content.tobytes()
    return encoded
