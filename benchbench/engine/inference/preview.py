"""Pictures of a prediction: image | truth | prediction, of the slice with most to see or of three planes."""

from __future__ import annotations

import cv2
import numpy as np

from benchbench.engine.inference.pictures import Picture, picture, planes_through, truth_masks
from benchbench.engine.preparation.prepare import PreparedCase
from benchbench.images.arrays import Mask

_COLOURS = ((80, 200, 80), (60, 120, 240), (240, 160, 60), (200, 80, 200))  # red, green, blue of each region
_GAP = 4
_LEAST_WIDTH = 192  # of a panel: what is smaller is enlarged by a whole factor


def draw_preview(prepared: PreparedCase, masks: Mask) -> bytes:
    """A PNG of three panels: the image, the truth's outlines on it, the prediction's.

    masks (S, K, H, W) on the case's own grid. In 2D of the slice where truth, or else prediction, is largest; in
    3D a row for each plane through the middle of the largest such slice, of the part that was kept.
    """
    truth = truth_masks(prepared, regions=masks.shape[1])
    both = [part.swapaxes(0, 1) for part in (truth, masks)]  # (K, S, H, W)
    rows = [
        _panels(picture(prepared, plane), *(plane.cut(part) for part in both))
        for plane in planes_through(prepared, truth if truth.any() else masks)
    ]
    _, content = cv2.imencode(".png", _stacked(rows)[..., ::-1])  # OpenCV writes blue first
    return content.tobytes()


def _panels(shown: Picture, truth: Mask, found: Mask) -> Picture:
    factor = max(1, _LEAST_WIDTH // shown.shape[1])
    shown = shown.repeat(factor, 0).repeat(factor, 1)
    truth, found = (mask.repeat(factor, 1).repeat(factor, 2) for mask in (truth, found))
    gap = np.full((shown.shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate([shown, gap, _outlined(shown, truth), gap, _outlined(shown, found)], axis=1)


def _stacked(rows: list[Picture]) -> Picture:
    """Rows of any width one below the other, white beside the narrower."""
    width = max(row.shape[1] for row in rows)
    padded = [
        cv2.copyMakeBorder(row, 0, _GAP, 0, width - row.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255))
        for row in rows
    ]
    whole: Picture = np.concatenate(padded)[:-_GAP]
    return whole


def _outlined(shown: Picture, masks: Mask) -> Picture:
    drawn = shown.copy()
    for mask, colour in zip(masks, _COLOURS * 2, strict=False):
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, colour, 1)
    return drawn
