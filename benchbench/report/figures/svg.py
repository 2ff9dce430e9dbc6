"""matplotlib's SVG made fit to stand in a page: no name of one figure in another, colours by the page's theme."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

_FONT = "system-ui, 'Helvetica Neue', Arial, sans-serif"


def themed(svg: str, *, name: str, alt: str, theme: Mapping[str, str]) -> str:
    """The `<svg>` element alone: no comment, metadata, style sheet, script or id that is not needed.

    Each colour of `theme` is replaced in the style, where browsers look first, and stays as an attribute for
    programs that know no CSS variables.
    """
    body = svg[svg.index("<svg") :]
    for pattern in (r"<!--.*?-->", r"<metadata>.*?</metadata>", r"<style.*?</style>", r"<defs>\s*</defs>"):
        body = re.sub(pattern, "", body, flags=re.DOTALL)
    body = _own_ids(body, name)
    body = re.sub(r'style="([^"]*)"', lambda found: _style(found[1], theme), body)
    body = re.sub(r"<[^>]+>", lambda found: _rounded(found[0]), body)  # places, never what is written
    body = re.sub(r">\s+<", ">\n<", body)
    label = escape(alt, quote=True)
    head = f'<svg role="img" aria-label="{label}" stroke-linejoin="round" stroke-linecap="butt"'
    return body.replace("<svg", head, 1).strip() + "\n"


def _rounded(tag: str) -> str:
    return re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), tag)


def _own_ids(svg: str, name: str) -> str:
    """Ids that something refers to are given the figure's name, the others go."""
    prefix = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg))
    kept = {each for pair in used for each in pair if each}
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{prefix}-{found[1]}"' if found[1] in kept else "", svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    return re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)


def _style(style: str, theme: Mapping[str, str]) -> str:
    """The declarations of a style attribute, and attributes for those of a themed colour."""
    plain, declared = [], []
    for declaration in filter(None, (part.strip() for part in style.split(";"))):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key in {"font", "font-family"}:
            value = re.sub(r"'DejaVu Sans'.*", _FONT, value)
        if value in theme and key in {"fill", "stroke"}:
            plain.append(f'{key}="{value}" ')
            value = theme[value]
        declared.append(f"{key}: {value}")
    return f'{"".join(plain)}style="{"; ".join(declared)}"'
