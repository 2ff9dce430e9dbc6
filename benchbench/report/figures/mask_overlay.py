"""Masks drawn in colour over the image of a gallery."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from benchbench.images.arrays import Mask

PALETTE = ("#ffd92f", "#4dc3ff", "#ff7256", "#c583ff", "#66dd66", "#ff8fd0")
"""Colours of regions without a conventional colour; none is in `SERIES`, which changes with a page's theme."""
_FILL, _HALO, _LINE = 64, 150, 255  # opacity, of 255
_WIDTH = 2  # pixels of an outline
# the share of a pixel, of 255, from which it is drawn as mask; lower where the mask shrinks, to keep small regions
_HALF, _QUARTER = 128, 64


def fill_colours(colours: Sequence[str]) -> list[str]:
    """Return the colours with each empty one replaced by the next of the palette."""
    repeats = 1 + len(colours) // len(PALETTE)
    palette = iter(PALETTE * repeats)
    return [colour or next(palette) for colour in colours]


def read_picture(content: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a picture file as pixels (H, W, 3); `size` is width and height."""
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BICUBIC))


def overlay(masks: Sequence[Mask], colours: Sequence[str], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return masks (rows, columns) of any size as RGBA pixels (H, W, 4); `size` is width and height.

    A mask is a solid outline with a faint fill; later masks cover earlier ones. A dark halo separates the outline
    from an image of the same colour.
    """
    width, height = size
    pixels = np.zeros((height, width, 4), np.uint8)
    for mask, colour in zip(masks, colours, strict=True):
        inside = _resize(mask, size)
        halo = ~inside & ~_erode(~inside, 1)
        outline = inside & ~_erode(inside, _WIDTH)
        rgb = ImageColor.getrgb(colour)[:3]
        pixels[halo] = (0, 0, 0, _HALO)
        pixels[inside] = (*rgb, _FILL)
        pixels[outline] = (*rgb, _LINE)
    return pixels


def _resize(mask: Mask, size: tuple[int, int]) -> Mask:
    grey = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
    threshold = _HALF if grey.width <= size[0] else _QUARTER
    resized = np.asarray(grey.resize(size, Image.Resampling.BILINEAR))
    inside: Mask = resized >= threshold
    return inside


def _erode(mask: Mask, pixels: int) -> Mask:
    """Return the mask without its outermost pixels; the edge of the picture is no outline."""
    for _ in range(pixels):
        padded = np.pad(mask, 1, mode="edge")
        above = padded[:-2, 1:-1]
        below = padded[2:, 1:-1]
        left = padded[1:-1, :-2]
        right = padded[1:-1, 2:]
        mask = mask & above & below & left & right
    return mask
