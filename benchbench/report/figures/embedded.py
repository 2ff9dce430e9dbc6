"""Raster images inside an SVG made small: each stands there once, without transparency as JPEG."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from PIL import Image

_IMAGE = re.compile(r"<image\b[^>]*?/>", re.DOTALL)
_DATA = re.compile(r'xlink:href="data:image/png;base64,([^"]*)"')
_QUALITY = 80


def compacted(svg: str) -> str:
    """The same picture in fewer bytes; images that are equal become uses of the first."""
    names: dict[str, str] = {}
    kept: list[str] = []

    def shorter(found: re.Match[str]) -> str:
        tag = found[0]
        if (data := _DATA.search(tag)) is None:
            return tag
        if data[1] not in names:
            names[data[1]] = f"picture{len(names) + 1}"
            kept.append(_element(names[data[1]], data[1], tag))
        place = "".join(
            f' {name}="{value}"' for name in ("x", "y", "transform") if (value := _attribute(tag, name))
        )
        return f'<use xlink:href="#{names[data[1]]}"{place}/>'

    body = _IMAGE.sub(shorter, svg)
    return body.replace("</svg>", f"<defs>{''.join(kept)}</defs></svg>") if kept else body


def _element(name: str, data: str, tag: str) -> str:
    size = f'width="{_attribute(tag, "width")}" height="{_attribute(tag, "height")}"'
    kind, content = _encoded(base64.b64decode(data))
    return f'<image id="{name}" {size} xlink:href="data:image/{kind};base64,{content}"/>'


def _encoded(png: bytes) -> tuple[str, str]:
    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGBA"))
    written = io.BytesIO()
    if (pixels[..., 3] == 255).all():
        is_grey = bool((pixels[..., :3] == pixels[..., :1]).all())
        opaque = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if is_grey else pixels[..., :3]))
        opaque.save(written, "JPEG", quality=_QUALITY, optimize=True)
        return "jpeg", base64.b64encode(written.getvalue()).decode()
    _with_palette(pixels).save(written, "PNG", optimize=True)
    return "png", base64.b64encode(written.getvalue()).decode()


def _with_palette(pixels: np.ndarray) -> Image.Image:
    """One byte a pixel, where there are few enough colours."""
    numbers, index = np.unique(np.ascontiguousarray(pixels).view(np.uint32)[..., 0], return_inverse=True)
    if len(numbers) > 256:
        return Image.fromarray(pixels)
    colours = numbers.view(np.uint8).reshape(-1, 4)
    image = Image.fromarray(index.reshape(pixels.shape[:2]).astype(np.uint8))
    image.putpalette(colours[:, :3].tobytes())
    image.info["transparency"] = colours[:, 3].tobytes()
    return image


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', tag)
    return found[1] if found else ""
