"""Names that become files and folders: every name from a file, plugin, benchmark or record passes through here."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from benchbench.errors import BenchbenchError, IntegrityError

_LONGEST_NAME = 60
_LONGEST_FILE_NAME = 200
"""Bytes of a file name; file systems allow 255, and a temporary file adds some."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices, with any suffix."""


def slug(label: str) -> str:
    """Return a label as a file name, with a hash added where characters were replaced."""
    safe = re.sub(r"[^A-Za-z0-9._=+@-]+", "_", label).strip(".")[:_LONGEST_NAME]
    if _RESERVED.fullmatch(safe):
        safe = f"_{safe}"
    if safe and safe == label:
        return safe
    return f"{safe}-{hashlib.sha256(label.encode(errors='surrogatepass')).hexdigest()[:6]}"


def is_slug(name: str) -> bool:
    """Return True if a name can be used as a file name unchanged."""
    return slug(name) == name


def inside(folder: Path, name: str, *, error: type[BenchbenchError] = IntegrityError) -> Path:
    """Return the path of a file in a folder; `name` may have subfolders, separated by /.

    Raises:
        IntegrityError: the name is empty, leads out of the folder, or is no file name on some system; `error` is
            raised in its place if it is given.
    """
    for part in name.split("/"):
        if not _is_file_name(part):
            raise error(f"{folder}: found {name[:_LONGEST_NAME]!r}, expected the name of a file in this folder")
    return folder / name


def _is_file_name(part: str) -> bool:
    if not part.strip(". ") or not part.isprintable() or _RESERVED.fullmatch(part):
        return False
    # both lead to other folders on Windows
    if "\\" in part or ":" in part:
        return False
    return len(part.encode(errors="surrogatepass")) <= _LONGEST_FILE_NAME
