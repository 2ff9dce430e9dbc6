"""Pages rendered from templates as single files that need no network; values are always escaped."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"


def render(name: str, content: Mapping[str, Any]) -> str:
    """Return a page in one file, with its style and script inside.

    Its content security policy allows only that script, by its hash. Even if other markup got into the page, it
    could neither load nor run anything.
    """
    style = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
    script = (_TEMPLATES / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = _environment().get_template(name)
    return template.render(content, style=style, script=script, script_digest=digest)


def render_file(path: Path, content: Mapping[str, Any]) -> str:
    """Return a page of a template in another folder, which has its own style and script."""
    return _environment().from_string(path.read_text(encoding="utf-8")).render(content)


@functools.cache
def _environment() -> Environment:
    """Return the environment of all pages, which compiles each template once in a process."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 pages only

    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
