"""Previews of a prediction: image | reference | prediction, of the largest slice or of three planes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import cv2
import numpy as np

from benchbench.engine.inference.pictures import Picture, planes_through, reference_masks, render_plane
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import Mask

COLOURS = ((80, 200, 80), (60, 120, 240), (240, 160, 60), (200, 80, 200))  # red, green, blue of each region
_GAP = 4
_LEAST_WIDTH = 192  # of a panel: smaller ones are enlarged by a whole factor
_WHITE = (255, 255, 255)
_BLACK = (0, 0, 0)
_LETTER_WIDTH = 10  # pixels


def draw_preview(prepared: PreparedCase, masks: Mask) -> bytes:
    """Return a PNG of three panels: the image, and the image with the outlines of reference and prediction.

    masks (S, K, H, W) on the case's own grid. In 2D the picture shows the slice where the reference is largest, or
    the prediction where the reference is empty; in 3D a row for each plane through the middle of the largest
    slice, of the cropped part.
    """
    reference = reference_masks(prepared, regions=masks.shape[1])
    return _draw(prepared, [reference, masks], planes=reference if reference.any() else masks)


def draw_prediction(prepared: PreparedCase, masks: Mask) -> bytes:
    """Return a PNG of two panels: the image, and the image with the outlines of the predicted masks (S, K, H, W).

    The planes are those of `draw_preview` for a case whose reference is empty.
    """
    return _draw(prepared, [masks], planes=masks)


def _draw(prepared: PreparedCase, outlined: Sequence[Mask], *, planes: Mask) -> bytes:
    """Return a PNG with a panel of the image and one for each of the masks, in the planes that `planes` choose."""
    rows = []
    for plane in planes_through(prepared, planes):
        cuts = [plane.cut(masks.swapaxes(0, 1)) for masks in outlined]
        rows.append(_panels(render_plane(prepared, plane), cuts, plane.sides))
    _, content = cv2.imencode(".png", stack_rows(rows)[..., ::-1])  # OpenCV writes blue first
    return content.tobytes()


def _panels(picture: Picture, outlined: Sequence[Mask], sides: tuple[str, str]) -> Picture:
    """Return the panels in a row, with the patient's sides at the borders; each of the masks is (K, H, W)."""
    factor = max(1, _LEAST_WIDTH // picture.shape[1])
    picture = picture.repeat(factor, 0).repeat(factor, 1)
    gap = np.full((picture.shape[0], _GAP, 3), 255, np.uint8)
    row = [picture.copy()]
    for masks in outlined:
        row += [gap, outline(picture, masks.repeat(factor, 1).repeat(factor, 2))]
    for panel in row[::2]:
        write_sides(panel, sides)
    return np.concatenate(row, axis=1)


def write_sides(panel: Picture, sides: tuple[str, str]) -> None:
    """Write a letter at the left and right border, half way down, with a dark edge."""
    height, width = panel.shape[:2]
    for letter, left in zip(sides, (2, width - _LETTER_WIDTH), strict=True):
        place = (left, height // 2)
        for colour, thickness in ((_BLACK, 3), (_WHITE, 1)):
            cv2.putText(panel, letter, place, cv2.FONT_HERSHEY_SIMPLEX, 0.35, colour, thickness, cv2.LINE_AA)


def stack_rows(rows: list[Picture]) -> Picture:
    """Return rows of any width one below the other; narrower ones are continued in white."""
    width = max(row.shape[1] for row in rows)
    padded = [
        cv2.copyMakeBorder(row, 0, _GAP, 0, width - row.shape[1], cv2.BORDER_CONSTANT, value=_WHITE)
        for row in rows
    ]
    stack: Picture = np.concatenate(padded)[:-_GAP]
    return stack


def outline(picture: Picture, masks: Mask) -> Picture:
    """Return the picture with the outlines of masks (K, H, W)."""
    drawn = picture.copy()
    for mask, colour in zip(masks, cycle(COLOURS), strict=False):
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, colour, 1)
    return drawn
