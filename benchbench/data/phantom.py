"""Phantom data: made-up cases in the layout of a real dataset, marked so that they cannot be mistaken for it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from benchbench.contract import DatasetPlugin
from benchbench.data.atomic import new_folder
from benchbench.errors import UsageError
from benchbench.registry.sources import source_digest
from benchbench.spec.benchmark_file import PhantomSize

MARKER = "PHANTOM.json"


def is_phantom(folder: Path) -> bool:
    """Return True if the folder of a dataset contains phantom data."""
    return (folder / MARKER).exists()


def write_phantom(plugin: DatasetPlugin, folder: Path, size: PhantomSize) -> None:
    """Write phantom cases into a new folder; an error leaves no folder.

    Raises:
        UsageError: the folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: not empty; name a new folder, so that made-up and real files never mix")
    if folder.exists():
        folder.rmdir()
    marker = {"phantom": True, "dataset": plugin.name, **size.model_dump()}
    with new_folder(folder) as temporary:
        plugin.phantom(temporary, patients=size.patients, size=size.size, seed=size.seed)
        (temporary / MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")


def phantom_root(plugin: DatasetPlugin, size: PhantomSize, *, cache: Path) -> Path:
    """Return a data root with phantom cases of one dataset, which are generated once and kept in the cache."""
    recipe = f"{plugin.name} {source_digest(plugin.phantom)} {size.model_dump_json()}"
    root = cache / "phantoms" / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    if not is_phantom(root / plugin.name):
        root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(root / plugin.name, ignore_errors=True)
        write_phantom(plugin, root / plugin.name, size)
    return root
