"""A plane of a case as it is seen in a gallery: the kept image, and masks in their colours over it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from benchbench.images.arrays import Mask

PALETTE = ("#ffd92f", "#4dc3ff", "#ff7256", "#c583ff", "#66dd66", "#ff8fd0")
"""For regions whose field has no colour for them; none of `SERIES`, which change with a page's theme."""
_FILL, _HALO, _LINE = 64, 150, 255  # opacity of 255
_WIDTH = 2  # pixels of an outline
_HALF, _QUARTER = 128, 64  # of 255: how much of a pixel is in the mask; where it is made smaller, small finds stay


def colours_of(given: Sequence[str]) -> list[str]:
    """Those given, and for each '' the next of the palette."""
    own = iter(PALETTE * (1 + len(given) // len(PALETTE)))
    return [colour or next(own) for colour in given]


def image_of(content: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) of a kept picture; size is width, height."""
    with Image.open(io.BytesIO(content)) as kept:
        return np.asarray(kept.convert("RGB").resize(size, Image.Resampling.BICUBIC))


def tint(masks: Sequence[Mask], colours: Sequence[str], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 4) of masks (rows, columns) of any size: each a line and a faint fill, later ones on top.

    A dark seam around the line sets it off from an image of its own colour.
    """
    width, height = size
    drawn = np.zeros((height, width, 4), np.uint8)
    for mask, colour in zip(masks, colours, strict=True):
        shown = _resized(mask, size)
        shade = ImageColor.getrgb(colour)[:3]
        drawn[~shown & ~_eroded(~shown, 1)] = (0, 0, 0, _HALO)
        drawn[shown] = (*shade, _FILL)
        drawn[shown & ~_eroded(shown, _WIDTH)] = (*shade, _LINE)
    return drawn


def _resized(mask: Mask, size: tuple[int, int]) -> Mask:
    grey = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    least = _HALF if grey.width <= size[0] else _QUARTER
    shown: Mask = np.asarray(grey.resize(size, Image.Resampling.BILINEAR)) >= least
    return shown


def _eroded(mask: Mask, pixels: int) -> Mask:
    """Without the outermost pixels; what lies at the picture's edge is not an outline."""
    for _ in range(pixels):
        padded = np.pad(mask, 1, mode="edge")
        mask = mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask
