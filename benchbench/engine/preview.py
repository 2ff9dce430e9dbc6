"""Pictures of a prediction: image | truth | prediction of the slice with most to see."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from benchbench.engine.prepare import PreparedCase

_COLOURS = ((80, 200, 80), (60, 120, 240), (240, 160, 60), (200, 80, 200))  # red, green, blue of each region
_GAP = 4


def draw_preview(prepared: PreparedCase, masks: NDArray[np.bool_]) -> bytes:
    """A PNG of three panels: the image, the truth's outlines on it, the prediction's.

    masks (S, K, H, W). Of the slice where truth, or else prediction, is largest.
    """
    label = prepared.native_label()
    regions = masks.shape[1]
    truth = np.stack([(label >> number) & 1 > 0 for number in range(regions)], 1)
    shown = truth if truth.any() else masks
    number = int(shown.sum((1, 2, 3)).argmax())
    picture = _picture(prepared, number)
    panels = [picture, _outlined(picture, truth[number]), _outlined(picture, masks[number])]
    gap = np.full((picture.shape[0], _GAP, 3), 255, np.uint8)
    strip = np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)
    _, content = cv2.imencode(".png", strip[..., ::-1])  # OpenCV writes blue first
    return content.tobytes()


def _picture(prepared: PreparedCase, number: int) -> NDArray[np.uint8]:
    """The slice as 8-bit red, green and blue (H, W, 3) on its own grid: the first three channels, or grey."""
    placement = prepared.placement()
    (top, left), (height, width) = placement.offset, placement.scaled
    planes = prepared.image()[number][:, top : top + height, left : left + width].astype(np.float32)
    planes = planes[:3] if len(planes) >= 3 else np.repeat(planes[:1], 3, axis=0)
    low, high = planes.min(), np.quantile(planes, 0.999)
    scaled = np.clip((planes - low) / max(float(high - low), 1e-6), 0, 1) * 255
    resized = cv2.resize(np.ascontiguousarray(scaled.transpose(1, 2, 0)), placement.native[::-1])
    return resized.astype(np.uint8)


def _outlined(picture: NDArray[np.uint8], masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    drawn = picture.copy()
    for mask, colour in zip(masks, _COLOURS * 2, strict=False):
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, colour, 1)
    return drawn
