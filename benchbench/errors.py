"""The errors that a user can cause, each with its exit code.

BenchbenchError            1
├── UsageError             2   a command that cannot be carried out
│   ├── SpecError          2   an invalid benchmark file
│   ├── PluginError        2   a plugin that is missing, broken or installed twice under one name
│   └── IncompatibleError  2   two choices that cannot be combined
├── DataError              3   files that cannot be used as they are
│   └── DataNotFoundError  3   files that do not exist
├── IntegrityError         4   results that changed after they were written
└── StorageError           5   a file or folder that cannot be written or read: full, read-only, not permitted

A message names the place, what was found, what was expected and what to do. One error carries every problem
found, one per line, so that a user can correct all of them before the next attempt.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


class BenchbenchError(Exception):
    """A failure with one or more messages for the user; str() joins them, one per line."""

    exit_code = 1

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class UsageError(BenchbenchError):
    """A command that cannot be carried out."""

    exit_code = 2


class SpecError(UsageError):
    """An invalid benchmark file."""


class PluginError(UsageError):
    """A plugin that is missing, broken or installed twice under one name."""


class IncompatibleError(UsageError):
    """Two choices that cannot be combined, such as a 3D model and a 2D protocol."""


class DataError(BenchbenchError):
    """Files that cannot be used as they are."""

    exit_code = 3


class DataNotFoundError(DataError):
    """Files that do not exist."""


class IntegrityError(BenchbenchError):
    """Results that changed after they were written."""

    exit_code = 4


class StorageError(BenchbenchError):
    """A file or folder that cannot be written or read."""

    exit_code = 5


_FULL = "free disk space or choose another folder, then give the same command again"
_NOT_PERMITTED = "make it writable or choose another folder, then give the same command again"
_NO_FOLDER = "a part of this path is no folder: choose another path"
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EROFS: _NOT_PERMITTED,
    errno.EACCES: _NOT_PERMITTED,
    errno.EPERM: _NOT_PERMITTED,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,
    errno.EISDIR: "it is a folder: remove it or choose another path",
    errno.ENOENT: "create it or correct the path",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
_OTHER_REMEDY = "check the disk or the network mount, then give the same command again"


_STORAGE_FAILURES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def is_storage_failure(error: BaseException) -> bool:
    """Return True for an error that storage alone causes, whatever code writes or reads there."""
    return isinstance(error, OSError) and error.errno in _STORAGE_FAILURES


def storage_error(error: OSError, path: Path | str | None = None) -> StorageError:
    """Return an error of the operating system as one line with the path and a remedy.

    The path is the one that the system names, or else `path`.
    """
    place = error.filename or path
    finding = os.strerror(error.errno) if error.errno else str(error)
    remedy = _REMEDIES.get(error.errno or 0, _OTHER_REMEDY)
    if place is None:
        return StorageError(f"{finding}; {remedy}")
    return StorageError(f"{os.fspath(place)}: {finding}; {remedy}")
