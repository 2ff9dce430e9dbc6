"""Phantom data: made-up cases in the layout of a real dataset, marked so that they cannot be mistaken for it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchbench.contract import DatasetPlugin
from benchbench.data.atomic import new_folder
from benchbench.data.checksums import content_problem, folder_checksums
from benchbench.errors import DataError, UsageError, storage_error
from benchbench.registry.faults import plugin_faults
from benchbench.registry.sources import source_digest
from benchbench.spec.benchmark_file import PhantomSize

MARKER = "PHANTOM.json"


def is_phantom(folder: Path) -> bool:
    """Return True if the folder of a dataset contains phantom data."""
    return (folder / MARKER).exists()


def write_phantom(plugin: DatasetPlugin, folder: Path, size: PhantomSize) -> None:
    """Write phantom cases into a new folder; an error leaves no folder.

    Raises:
        UsageError: the folder is not empty, or the plugin has no phantom.
        DataError: the plugin failed.
        StorageError: the folder cannot be written.
    """
    _require_phantom(plugin)
    try:
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()
        _write(plugin, folder, size, replace=False)
    except FileExistsError as error:
        raise _not_empty(folder) from error
    except OSError as error:
        if folder.is_dir():
            raise _not_empty(folder) from error
        raise storage_error(error, folder) from error


def phantom_root(plugin: DatasetPlugin, size: PhantomSize, *, cache: Path) -> Path:
    """Return a data root with phantom cases of one dataset, which are generated once and kept in the cache.

    Cases of which a byte was changed are generated again.

    Raises:
        UsageError: the plugin has no phantom.
        StorageError: the cache cannot be written.
    """
    phantom = _require_phantom(plugin)
    recipe = f"{plugin.name} {source_digest(phantom)} {size.model_dump_json()}"
    if isinstance(phantom, partial):  # of a dataset that a benchmark describes
        recipe += f" {phantom.keywords}"
    root = cache / "phantoms" / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    folder = root / plugin.name
    damage = ""
    if folder.exists():
        damage = _damage(folder)
        if not damage:
            return root
        logging.getLogger(__name__).warning("%s: damaged in the cache, generated again (%s)", plugin.name, damage)
    with contextlib.suppress(FileExistsError):  # another process was faster
        _write(plugin, folder, size, replace=bool(damage))
    return root


def _require_phantom(plugin: DatasetPlugin) -> Callable[..., None]:
    if plugin.phantom is None:
        raise UsageError(
            f"{plugin.name}: its plugin has no phantom, so it cannot be rehearsed; use --data-root with its files"
        )
    return plugin.phantom


def _write(plugin: DatasetPlugin, folder: Path, size: PhantomSize, *, replace: bool) -> None:
    with new_folder(folder, replace=replace) as temporary:
        _generate(plugin, temporary, size)
        marker = {
            "phantom": True,
            "dataset": plugin.name,
            **size.model_dump(),
            "files": folder_checksums(temporary),
        }
        (temporary / MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")


def _generate(plugin: DatasetPlugin, folder: Path, size: PhantomSize) -> None:
    storage: OSError | None = None
    with plugin_faults(plugin.name, "phantom()", DataError):
        try:
            _require_phantom(plugin)(folder, patients=size.patients, size=size.size, seed=size.seed)
        except OSError as error:
            storage = error
    if storage is not None:  # not a fault of the plugin
        raise storage


def _damage(folder: Path) -> str:
    """Return a line about the first file that is not as it was generated; '' where there is none."""
    marker = folder / MARKER
    try:
        files = json.loads(marker.read_bytes())["files"]
        checksums = {name: (size, digest) for name, (size, digest) in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{marker}: missing or damaged ({type(error).__name__})"
    extra = set(folder_checksums(folder)) - {MARKER, *checksums}
    if extra:
        return f"{folder / min(extra)}: not generated with the others"
    return content_problem(folder, checksums)


def _not_empty(folder: Path) -> UsageError:
    return UsageError(f"{folder}: not empty; name a new folder, so that made-up and real files never mix")
