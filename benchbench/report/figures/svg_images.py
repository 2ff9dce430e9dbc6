"""Smaller raster images in an SVG: each image is stored once, and as JPEG where it is opaque."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

_IMAGE = re.compile(r"<image\b[^>]*?/>", re.DOTALL)
_DATA = re.compile(r'xlink:href="data:image/png;base64,([^"]*)"')
_QUALITY = 80
_PALETTE_SIZE = 256


def compact_images(svg: str) -> str:
    """Return the same picture in fewer bytes; repeated images become references to the first."""
    names: dict[str, str] = {}
    definitions: list[str] = []

    def reference(match: re.Match[str]) -> str:
        tag = match[0]
        embedded = _DATA.search(tag)
        if embedded is None:
            return tag
        data = embedded[1]
        name = names.get(data)
        if name is None:
            name = f"picture{len(names) + 1}"
            names[data] = name
            definitions.append(_definition(name, data, tag))
        return f'<use xlink:href="#{name}"{_position(tag)}/>'

    body = _IMAGE.sub(reference, svg)
    if not definitions:
        return body
    return body.replace("</svg>", f"<defs>{''.join(definitions)}</defs></svg>")


def _definition(name: str, data: str, tag: str) -> str:
    size = f'width="{_attribute(tag, "width")}" height="{_attribute(tag, "height")}"'
    kind, content = _encode(base64.b64decode(data))
    return f'<image id="{name}" {size} xlink:href="data:image/{kind};base64,{content}"/>'


def _position(tag: str) -> str:
    parts = []
    for name in ("x", "y", "transform"):
        value = _attribute(tag, name)
        if value:
            parts.append(f' {name}="{value}"')
    return "".join(parts)


def _encode(png: bytes) -> tuple[str, str]:
    """Return the format and the base64 content of a PNG image in fewer bytes."""
    with Image.open(io.BytesIO(png)) as image:
        return _encode_pixels(np.asarray(image.convert("RGBA")))


def data_uri(pixels: np.ndarray) -> str:
    """Return RGBA pixels (H, W, 4) as a data URI."""
    kind, content = _encode_pixels(pixels)
    return f"data:image/{kind};base64,{content}"


def _encode_pixels(pixels: np.ndarray) -> tuple[str, str]:
    content = io.BytesIO()
    is_opaque = bool((pixels[..., 3] == 255).all())
    if is_opaque:
        _without_alpha(pixels).save(content, "JPEG", quality=_QUALITY, optimize=True)
    else:
        _with_palette(pixels).save(content, "PNG", optimize=True)
    kind = "jpeg" if is_opaque else "png"
    return kind, base64.b64encode(content.getvalue()).decode()


def _without_alpha(pixels: np.ndarray) -> Image.Image:
    """Return the RGB image of (H, W, 4) pixels, with one channel where it is grey."""
    is_grey = bool((pixels[..., :3] == pixels[..., :1]).all())
    channels = pixels[..., 0] if is_grey else pixels[..., :3]
    return Image.fromarray(np.ascontiguousarray(channels))


def _with_palette(pixels: np.ndarray) -> Image.Image:
    """Return (H, W, 4) pixels as an image with one byte per pixel, if they have few enough colours."""
    packed = np.ascontiguousarray(pixels).view(np.uint32)[..., 0]
    colours, index = np.unique(packed, return_inverse=True)
    if len(colours) > _PALETTE_SIZE:
        return Image.fromarray(pixels)
    palette = colours.view(np.uint8).reshape(-1, 4)
    image = Image.fromarray(index.reshape(pixels.shape[:2]).astype(np.uint8))
    image.putpalette(palette[:, :3].tobytes())
    image.info["transparency"] = palette[:, 3].tobytes()
    return image


def _attribute(tag: str, name: str) -> str:
    match = re.search(rf'\b{name}="([^"]*)"', tag)
    if match:
        return match[1]
    return ""
