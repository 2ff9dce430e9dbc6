"""The folder of prepared and phantom data."""

from __future__ import annotations

import os
from pathlib import Path


def default_cache() -> Path:
    """Return the folder of prepared and phantom data if no other is given."""
    if folder := os.environ.get("BENCHBENCH_CACHE"):
        return Path(folder)
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user_cache) / "benchbench"
