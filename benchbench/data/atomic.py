"""Files and folders that other processes see either complete or not at all, also after a power failure."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchbench.errors import storage_error

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}|\.removed\.[0-9a-f]{32}|\..+\.\d+")
"""Names of unfinished files and folders; those that end with the number of a process are of earlier versions."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file; a reader finds the old content or the new, and after a power failure too.

    Raises:
        StorageError: the file cannot be written.
    """
    temporary = _temporary(path)
    try:
        _make_folder(path.parent)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        _remove_quietly(temporary)
        raise storage_error(without_name(error, temporary), path) from error
    except BaseException:
        _remove_quietly(temporary)
        raise


def check_writable(folder: Path) -> None:
    """Create a file in a folder, or in the one in which it would be created, and remove it again.

    The file has no name where the system can do that, so that a process that is killed leaves nothing.

    Raises:
        StorageError: files cannot be written there.
    """
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing, prefix=".benchbench-"):
            pass
    except OSError as error:  # its name is that of a file which means nothing to a user
        raise storage_error(OSError(error.errno, error.strerror), folder) from error


@contextmanager
def new_folder(folder: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `folder` when the block ends; an error leaves neither.

    With `replace`, a folder that exists is removed just before.

    Raises:
        FileExistsError: another process has created `folder` in the meantime; its folder stays.
        StorageError: the folder cannot be written.
    """
    temporary = _temporary(folder)
    try:
        _make_folder(folder.parent)
        temporary.mkdir()
        yield temporary
        _sync_tree(temporary)
        if replace:
            remove_folder(folder)
        _rename(temporary, folder)
        sync_folder(folder.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise storage_error(without_name(error, temporary), folder) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder; other processes see it complete or not at all, and may remove it at the same time."""
    renamed = folder.with_name(f".removed.{uuid.uuid4().hex}")
    try:
        folder.rename(renamed)
    except FileNotFoundError:  # another process has removed it
        return
    shutil.rmtree(renamed, ignore_errors=True)


def is_temporary(name: str) -> bool:
    """Return True if a file or folder of this name was never finished."""
    return _TEMPORARY.fullmatch(name) is not None


def has_leftovers(folder: Path) -> bool:
    """Return True if a folder holds files or folders that were never finished."""
    return any(is_temporary(path.name) for path in folder.iterdir())


def remove_leftovers(folder: Path, *, before: float | None = None) -> None:
    """Remove the unfinished files and folders in a folder, without those in its subfolders.

    `before` is a time in seconds since 1970: what was changed later stays. The caller knows that no living process
    writes the others.
    """
    with contextlib.suppress(OSError):  # a folder that cannot be read or written keeps them
        for path in folder.iterdir():
            if is_temporary(path.name) and (before is None or path.lstat().st_mtime < before):
                _remove_quietly(path)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power failure."""
    if os.name == "posix":  # other systems cannot open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def without_name(error: OSError, path: Path) -> OSError:
    """Return the error without the name of a temporary file or of a lock, which means nothing to a user."""
    if error.filename is not None and Path(os.fsdecode(error.filename)).absolute() == path.absolute():
        return OSError(error.errno, error.strerror)
    return error


def _make_folder(folder: Path) -> None:
    """Create a folder and those above it, so that they survive a power failure."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as opened:
                os.fsync(opened.fileno())
    sync_folder(folder)


def _temporary(path: Path) -> Path:
    """Return a path in the same folder that no other process or thread uses."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def _remove_quietly(path: Path) -> None:
    """Remove a file or folder if that is possible; a failure must not hide the error that led here."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink()


def _rename(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError as error:  # its number depends on the system
        if folder.exists():
            raise FileExistsError(f"{folder}: another process has created it in the meantime") from error
        raise
