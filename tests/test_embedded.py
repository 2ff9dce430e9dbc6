"""Raster images of an SVG stand there once, small, where they stood."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

from benchbench.report.figures.embedded import compacted


def tag(pixels: np.ndarray, place: str) -> str:
    """An image as matplotlib writes it."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    data = base64.b64encode(content.getvalue()).decode()
    size = f'width="{pixels.shape[1]}" height="{pixels.shape[0]}"'
    return f'<image xlink:href="data:image/png;base64,{data}" id="i" {place} {size}/>'


def pixels_of(svg: str) -> list[np.ndarray]:
    found = re.findall(r"data:image/(?:png|jpeg);base64,([^\"]*)", svg)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each))).convert("RGBA")) for each in found]


def test_equal_images_stand_there_once_and_are_used_where_each_stood() -> None:
    grey = np.full((8, 9, 3), 120, np.uint8)
    svg = compacted("<svg>" + tag(grey, 'transform="matrix(1)"') + tag(grey, 'x="3" y="-4"') + "</svg>")
    assert svg.count("<image") == 1
    assert '<use xlink:href="#picture1" transform="matrix(1)"/>' in svg
    assert '<use xlink:href="#picture1" x="3" y="-4"/>' in svg
    assert 'width="9" height="8"' in svg


def test_an_opaque_image_is_a_jpeg_and_looks_the_same() -> None:
    shade = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))
    svg = compacted(f"<svg>{tag(np.stack([shade] * 3, -1), '')}</svg>")
    assert "image/jpeg" in svg
    (found,) = pixels_of(svg)
    assert np.abs(found[..., 0].astype(int) - shade).max() < 12


def test_masks_keep_every_pixel_and_how_far_it_is_seen_through() -> None:
    drawn = np.zeros((16, 16, 4), np.uint8)
    drawn[2:9, 3:12] = (255, 0, 0, 64)
    drawn[2, 3:12] = (255, 0, 0, 255)
    svg = compacted(f"<svg>{tag(drawn, '')}</svg>")
    assert "image/png" in svg
    (found,) = pixels_of(svg)
    assert np.array_equal(found, drawn)


def test_an_image_of_many_colours_that_is_seen_through_stays_as_it_is() -> None:
    drawn = np.random.default_rng(0).integers(1, 255, (20, 20, 4)).astype(np.uint8)
    (found,) = pixels_of(compacted(f"<svg>{tag(drawn, '')}</svg>"))
    assert np.array_equal(found, drawn)


def test_an_svg_without_images_is_left_alone() -> None:
    assert compacted("<svg><path/></svg>") == "<svg><path/></svg>"
