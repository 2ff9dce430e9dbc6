"""matplotlib's SVG prepared for a page: ids unique to the figure, and colours that follow the page's theme."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

ROW = "row-"
"""Beginning of the id of a row of a figure, to which a page can link."""
_FONT = "system-ui, 'Helvetica Neue', Arial, sans-serif"
_UNNEEDED = (r"<!--.*?-->", r"<metadata>.*?</metadata>", r"<style.*?</style>", r"<defs>\s*</defs>")


def prepare_svg(svg: str, *, name: str, alt: str, theme: Mapping[str, str]) -> str:
    """Return the bare `<svg>` element, without comments, metadata, style sheet and unused ids.

    Each colour of `theme` is replaced in the style, which browsers prefer, and kept as an attribute for programs
    that do not know CSS variables.
    """
    body = svg[svg.index("<svg") :]
    for pattern in _UNNEEDED:
        body = re.sub(pattern, "", body, flags=re.DOTALL)
    body = _rename_ids(body, name)
    body = re.sub(r'style="([^"]*)"', lambda match: _apply_theme(match[1], theme), body)
    body = re.sub(r"<[^>]+>", lambda match: _round_numbers(match[0]), body)  # coordinates, but never text
    body = re.sub(r">\s+<", ">\n<", body)
    label = escape(alt, quote=True)
    head = f'<svg role="img" aria-label="{label}" stroke-linejoin="round" stroke-linecap="butt"'
    return body.replace("<svg", head, 1).strip() + "\n"


def id_prefix(name: str) -> str:
    """Return the beginning of all ids in the figure of this name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def _round_numbers(tag: str) -> str:
    def rounded(match: re.Match[str]) -> str:
        number = f"{float(match[0]):.2f}"
        return number.rstrip("0").rstrip(".")

    return re.sub(r"-?\d+\.\d{3,}", rounded, tag)


def _rename_ids(svg: str, name: str) -> str:
    """Prefix ids with the figure's name: those that are referred to and those of rows; remove all others."""
    prefix = id_prefix(name)
    used = {*re.findall(r"url\(#([^)]+)\)", svg), *re.findall(r'href="#([^"]+)"', svg)}

    def renamed(match: re.Match[str]) -> str:
        if match[1] not in used and not match[1].startswith(ROW):
            return ""
        return f' id="{prefix}-{match[1]}"'

    svg = re.sub(r' id="([^"]*)"', renamed, svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    return re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)


def _apply_theme(style: str, theme: Mapping[str, str]) -> str:
    """Return a style attribute in the theme's colours, after attributes with the original ones."""
    attributes, declarations = [], []
    for part in style.split(";"):
        if not part.strip():
            continue
        key, _, value = part.partition(":")
        key, value = key.strip(), value.strip()
        if key in {"font", "font-family"}:
            value = re.sub(r"'DejaVu Sans'.*", _FONT, value)
        if value in theme and key in {"fill", "stroke"}:
            attributes.append(f'{key}="{value}" ')
            value = theme[value]
        declarations.append(f"{key}: {value}")
    return f'{"".join(attributes)}style="{"; ".join(declarations)}"'
