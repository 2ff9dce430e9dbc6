"""Folders that a caller leaves out."""

from __future__ import annotations

import os
from pathlib import Path


def data_root_or_default(data_root: str | Path | None) -> Path | None:
    """Return the data root; without one, that of the variable BENCHBENCH_DATA, or None."""
    folder = os.environ.get("BENCHBENCH_DATA") if data_root is None else data_root
    return Path(folder) if folder else None
