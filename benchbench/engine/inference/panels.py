"""Pictures of rows of panels with a heading each: the channels of a case, or one image in many forms."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import cv2
import numpy as np

from benchbench.engine.inference.pictures import Picture, planes_through, reference_masks, render_plane
from benchbench.engine.inference.preview import COLOURS, outline, stack_rows, write_sides
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import Mask

_GAP = 4
_HEADING = 18  # pixels above a panel
_LETTER = 7  # width of a letter of a heading
_LEAST_WIDTH = 192  # of a panel: smaller ones are enlarged by a whole factor
_NO_SIDES = ("", "")


def draw_channels(prepared: PreparedCase, channels: Sequence[str], *, regions: Sequence[str], title: str) -> bytes:
    """Return a PNG of the channels of a case side by side, the last panel with the outlines of its label.

    There is a row for each plane that galleries show: the slice with the largest label, or three of a volume.
    """
    reference = reference_masks(prepared, regions=len(regions))
    rows = [title_row(title, regions)]
    for plane in planes_through(prepared, reference):
        label = plane.cut(reference.swapaxes(0, 1))
        panels = []
        for number, name in enumerate(channels):
            picture = render_plane(prepared, plane, channels=slice(number, number + 1))
            panels.append(panel(picture, f"{name}, {plane.name}", aspect=plane.aspect, sides=plane.sides))
        last = render_plane(prepared, plane, channels=slice(len(channels) - 1, len(channels)))
        panels.append(
            panel(last, f"{channels[-1]} with label", masks=label, aspect=plane.aspect, sides=plane.sides)
        )
        rows.append(join_panels(panels))
    return encode_rows(rows)


def title_row(title: str, regions: Sequence[str]) -> Picture:
    """Return a line with a title and the names of the regions in the colours of their outlines."""
    parts = [_text_row(f"{title}   outlines:")]
    for name, colour in zip(regions, cycle(COLOURS), strict=False):
        parts.append(_text_row(name, colour=colour))
    return np.concatenate(parts, axis=1)


def panel(
    picture: Picture,
    heading: str,
    *,
    masks: Mask | None = None,
    aspect: float = 1.0,
    sides: tuple[str, str] = _NO_SIDES,
) -> Picture:
    """Return a picture below its heading, enlarged where it is small, with outlines of masks (K, H, W)."""
    factor = max(1, -(-_LEAST_WIDTH // picture.shape[1]))
    width, height = picture.shape[1] * factor, max(1, round(picture.shape[0] * factor * aspect))
    enlarged: Picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    if masks is not None:
        resized = [cv2.resize(mask.astype(np.uint8), (width, height), interpolation=0) > 0 for mask in masks]
        enlarged = outline(enlarged, np.stack(resized))
    write_sides(enlarged, sides)
    return np.concatenate([_text_row(heading, width=width), enlarged])


def join_panels(panels: Sequence[Picture]) -> Picture:
    """Return panels side by side; lower ones are continued in white."""
    height = max(len(picture) for picture in panels)
    parts = []
    for picture in panels:
        missing = ((0, height - len(picture)), (0, _GAP), (0, 0))
        parts.append(np.pad(picture, missing, constant_values=255))
    joined: Picture = np.concatenate(parts, axis=1)[:, :-_GAP]
    return joined


def encode_rows(rows: Sequence[Picture]) -> bytes:
    """Return rows of panels, one below the other, as a PNG file."""
    _, content = cv2.imencode(".png", stack_rows(list(rows))[..., ::-1])  # OpenCV writes blue first
    encoded: bytes = content.tobytes()
    return encoded


def _text_row(text: str, *, width: int | None = None, colour: tuple[int, int, int] = (0, 0, 0)) -> Picture:
    """Return a line of text on white, cut to the width if there is one."""
    width = width or _LETTER * len(text) + _GAP
    row = np.full((_HEADING, width, 3), 255, np.uint8)
    letters = "".join(letter if letter.isascii() else "?" for letter in text[: width // _LETTER])
    cv2.putText(row, letters, (2, _HEADING - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, 1, cv2.LINE_AA)
    return row
