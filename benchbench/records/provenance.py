"""Provenance of a run: code, versions and machine, without the name of a person, a host or a path."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchbench.cores import available_cores

_PACKAGES = ("benchbench", "torch", "numpy", "albumentations", "opencv-python-headless", "tifffile", "nibabel")


@cache
def code_state() -> dict[str, Any]:
    """Return the commit of benchbench's checkout and if it has changes; None where there is no checkout."""
    return state_of(Path(__file__).parents[2])


def state_of(root: Path) -> dict[str, Any]:
    """Return the commit of a checkout and if it has changes outside results/, which every run writes."""
    commit = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else None
    if commit is None:
        return {"commit": None, "dirty": None}
    changes = _git(root, "status", "--porcelain", "--", ".", ":(exclude)results")
    return {"commit": commit, "dirty": bool(changes)}


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    installed = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            installed[package] = "not installed"
    return installed


def machine() -> dict[str, Any]:
    """Return the kind of system and processor, without the name of the machine."""
    return {"system": platform.system(), "architecture": platform.machine(), "cores": available_cores()}


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
    if done.returncode != 0:
        return None
    return done.stdout.strip()
