"""Where a number comes from: code, versions, machine; nothing that names a person, a host or a path."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("benchbench", "torch", "numpy", "albumentations", "opencv-python-headless", "tifffile", "nibabel")


@cache
def code_state() -> dict[str, Any]:
    """The commit of benchbench's checkout and whether it has changes; None where it is installed without one."""
    root = Path(__file__).parents[1]
    commit = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else None
    changes = _git(root, "status", "--porcelain") if commit else None
    return {"commit": commit, "dirty": bool(changes) if commit else None}


@cache
def versions() -> dict[str, str]:
    """Python and the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """Kind of system and processor, without its name."""
    return {"system": platform.system(), "architecture": platform.machine(), "cores": os.cpu_count()}


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 fixed words
            ["git", "-C", str(root), *words],  # noqa: S607 whatever git the user has
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
