"""Pictures of a prediction: image | truth | prediction, of the slice with most to see or of three planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchbench.engine.placement import Placement
from benchbench.engine.prepare import PreparedCase

_COLOURS = ((80, 200, 80), (60, 120, 240), (240, 160, 60), (200, 80, 200))  # red, green, blue of each region
_GAP = 4
_LEAST_WIDTH = 192  # of a panel: what is smaller is enlarged by a whole factor
Picture = NDArray[np.uint8]
"""(H, W, 3): red, green, blue."""


def draw_preview(prepared: PreparedCase, masks: NDArray[np.bool_]) -> bytes:
    """A PNG of three panels: the image, the truth's outlines on it, the prediction's.

    masks (S, K, H, W) on the case's own grid. In 2D of the slice where truth, or else prediction, is largest; in
    3D a row for each plane through the middle of the largest such slice, of the part that was kept.
    """
    truth = _truth(prepared, regions=masks.shape[1])
    shown = truth if truth.any() else masks
    number = int(shown.sum((1, 2, 3)).argmax())
    if prepared.placement:
        rows = [_panels(_slice_picture(prepared, prepared.placement, number), truth[number], masks[number])]
    else:
        rows = _plane_rows(prepared, truth, masks, through=(number, *_middle(shown[number].any(0))))
    _, content = cv2.imencode(".png", _stacked(rows)[..., ::-1])  # OpenCV writes blue first
    return content.tobytes()


def _truth(prepared: PreparedCase, *, regions: int) -> NDArray[np.bool_]:
    label = prepared.native_label()
    return np.stack([(label >> number) & 1 > 0 for number in range(regions)], 1)


def _slice_picture(prepared: PreparedCase, placement: Placement, number: int) -> Picture:
    """A slice of the whole case on its own grid; black where it was cropped."""
    (top, left), (height, width) = placement.offset, placement.scaled
    (start, stop), *inside = prepared.frame.box
    shape = prepared.frame.shape[1:]
    picture = np.zeros((*shape, 3), np.uint8)
    if start <= number < stop:
        planes = prepared.image()[number - start][:, top : top + height, left : left + width]
        rows, columns = (slice(*interval) for interval in inside)
        picture[rows, columns] = cv2.resize(_coloured(planes), placement.native[::-1])
    return picture


def _plane_rows(
    prepared: PreparedCase, truth: NDArray[np.bool_], masks: NDArray[np.bool_], *, through: Sequence[int]
) -> list[Picture]:
    """A row for each axis of the kept volume; seen from the front and the side, up is up."""
    image = prepared.image()
    kept = [prepared.frame.crop(part.swapaxes(0, 1)) for part in (truth, masks)]  # (K, *volume)
    rows = []
    for axis, (place, (start, stop)) in enumerate(zip(through, prepared.frame.box, strict=True)):
        at = min(max(place, start), stop - 1) - start
        planes, true, found = (np.flip(part.take(at, axis=1 + axis), 1) for part in (image, *kept))
        rows.append(_panels(_coloured(planes), true, found))
    return rows


def _panels(picture: Picture, truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> Picture:
    factor = max(1, _LEAST_WIDTH // picture.shape[1])
    picture = picture.repeat(factor, 0).repeat(factor, 1)
    truth, found = (mask.repeat(factor, 1).repeat(factor, 2) for mask in (truth, found))
    gap = np.full((picture.shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate([picture, gap, _outlined(picture, truth), gap, _outlined(picture, found)], axis=1)


def _stacked(rows: list[Picture]) -> Picture:
    """Rows of any width one below the other, white beside the narrower."""
    width = max(row.shape[1] for row in rows)
    padded = [
        cv2.copyMakeBorder(row, 0, _GAP, 0, width - row.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255))
        for row in rows
    ]
    whole: Picture = np.concatenate(padded)[:-_GAP]
    return whole


def _coloured(planes: NDArray[Any]) -> Picture:
    """Channels (C, H, W) as 8 bits: three as red, green and blue, of any other number the first in grey."""
    chosen = np.asarray(planes, np.float32)
    chosen = chosen if len(chosen) == 3 else np.repeat(chosen[:1], 3, axis=0)
    low, high = chosen.min(), np.quantile(chosen, 0.999)
    scaled = np.clip((chosen - low) / max(float(high - low), 1e-6), 0, 1) * 255
    return np.ascontiguousarray(scaled.transpose(1, 2, 0)).astype(np.uint8)


def _middle(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    places = np.argwhere(mask)
    middle = places.mean(0) if len(places) else np.array(mask.shape) / 2
    return tuple(int(place) for place in middle)


def _outlined(picture: Picture, masks: NDArray[np.bool_]) -> Picture:
    drawn = picture.copy()
    for mask, colour in zip(masks, _COLOURS * 2, strict=False):
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, colour, 1)
    return drawn
