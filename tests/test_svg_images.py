"""Raster images in an SVG are stored once, in fewer bytes, and displayed at their old positions."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

from benchbench.report.figures.svg_images import compact_images


def tag(pixels: np.ndarray, position: str) -> str:
    """An image as matplotlib writes it."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    data = base64.b64encode(content.getvalue()).decode()
    size = f'width="{pixels.shape[1]}" height="{pixels.shape[0]}"'
    return f'<image xlink:href="data:image/png;base64,{data}" id="i" {position} {size}/>'


def pixels_of(svg: str) -> list[np.ndarray]:
    images = []
    for data in re.findall(r"data:image/(?:png|jpeg);base64,([^\"]*)", svg):
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        images.append(np.asarray(image.convert("RGBA")))
    return images


def test_equal_images_are_stored_once_and_referenced_at_every_position() -> None:
    grey = np.full((8, 9, 3), 120, np.uint8)
    svg = compact_images("<svg>" + tag(grey, 'transform="matrix(1)"') + tag(grey, 'x="3" y="-4"') + "</svg>")
    assert svg.count("<image") == 1
    assert '<use xlink:href="#picture1" transform="matrix(1)"/>' in svg
    assert '<use xlink:href="#picture1" x="3" y="-4"/>' in svg
    assert 'width="9" height="8"' in svg


def test_an_opaque_image_is_a_jpeg_and_looks_the_same() -> None:
    shade = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))
    svg = compact_images(f"<svg>{tag(np.stack([shade] * 3, -1), '')}</svg>")
    assert "image/jpeg" in svg
    (pixels,) = pixels_of(svg)
    assert np.abs(pixels[..., 0].astype(int) - shade).max() < 12


def test_masks_keep_every_pixel_and_its_opacity() -> None:
    drawn = np.zeros((16, 16, 4), np.uint8)
    drawn[2:9, 3:12] = (255, 0, 0, 64)
    drawn[2, 3:12] = (255, 0, 0, 255)
    svg = compact_images(f"<svg>{tag(drawn, '')}</svg>")
    assert "image/png" in svg
    (pixels,) = pixels_of(svg)
    assert np.array_equal(pixels, drawn)


def test_a_transparent_image_of_many_colours_stays_as_it_is() -> None:
    drawn = np.random.default_rng(0).integers(1, 255, (20, 20, 4)).astype(np.uint8)
    (pixels,) = pixels_of(compact_images(f"<svg>{tag(drawn, '')}</svg>"))
    assert np.array_equal(pixels, drawn)


def test_an_svg_without_images_is_unchanged() -> None:
    assert compact_images("<svg><path/></svg>") == "<svg><path/></svg>"
