"""Hooks of the documentation site: links to the repository, and pages of other branches that do not exist yet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]*)\]\((?:\.\./)+((?!reference/)[^)\s]+)\)")
"""A link to a file of the repository that is not part of the documentation."""


def on_config(config: Any) -> Any:
    """Leave out the pages of the navigation that do not exist."""
    config["nav"] = _existing(config["nav"], Path(config["docs_dir"]))
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace a link to a file outside the documentation by its path in the repository."""
    if "/" in page.file.src_uri:  # a page in a folder may link to the pages above it
        return markdown
    return _OUTSIDE.sub(_path_in_repository, markdown)


def _path_in_repository(match: re.Match[str]) -> str:
    text, path = match[1], match[2]
    return f"`{path}`" if text.strip("`") == path else f"{text} (`{path}` in the repository)"


def _existing(entries: list[Any], folder: Path) -> list[Any]:
    """Return the entries of a part of the navigation whose files exist."""
    existing: list[Any] = []
    for entry in entries:
        ((title, target),) = entry.items()
        if isinstance(target, list):
            existing.append({title: _existing(target, folder)})
        elif (folder / target).exists():
            existing.append(entry)
    return existing
