"""Fills the templates: one file without a network, in which text from outside is text and never markup."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

_TEMPLATES = Path(__file__).parent / "templates"


def render(name: str, **content: Any) -> str:
    """A page of one file: its style and its script stand in it, and no other script may run.

    The policy allows the one script by its hash, so that even markup that got in could load and run nothing.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 pages only

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    style, script = ((_TEMPLATES / file).read_text(encoding="utf-8") for file in ("page.css", "sort.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template(name).render(style=style, script=script, script_digest=digest, **content)
