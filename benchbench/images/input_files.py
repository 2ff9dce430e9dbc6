"""The one door to files of users and datasets: checked before they are opened, and every failure named.

A reader may raise anything on a damaged file, and a pipe or a device would make it wait or read without end.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from benchbench.errors import BenchbenchError, DataError, UsageError

T = TypeVar("T")

GIB = 2**30
LIMIT_BYTES = 8 * GIB
"""Largest size of a decoded file; a damaged header can ask for any amount of memory."""
PLANE_LIMIT_BYTES = GIB // 4
"""Largest size of one decoded plane of a TIFF or PNG file."""
LIMIT_VARIABLE = "BENCHBENCH_SIZE_LIMIT"
"""Environment variable that replaces both limits, in GiB; `--size-limit` sets it, for worker processes too."""
COPY_AGAIN = "copy the file from its source again"
COMPRESSION = 1100
"""No decoder makes more than this many times the bytes of its input; that of deflate is 1032 at most."""
TEXT_LIMIT_BYTES = 2**24
"""Largest file that is read as text, such as a table of patients."""


class FileFault(Exception):  # noqa: N818 a fault of a file, which becomes an error with the name of the file
    """A problem of a file, as "found ..., expected ...; what to do"."""

    def __init__(self, finding: str, expected: str, advice: str) -> None:
        super().__init__(f"{finding}, expected {expected}; {advice}")


def read_file(path: Path, read: Callable[[Path], T], *, kind: str, may_be_empty: bool = False) -> T:
    """Return `read(path)` of a regular file; `kind` is what the file should be, such as "a PNG file".

    Raises:
        DataError: "<path>: found ..., expected ...; what to do", whatever `read` raises.
    """
    try:
        _check_content(path, kind=kind, may_be_empty=may_be_empty)
        return read(path)
    except BenchbenchError:
        raise
    except FileFault as fault:
        raise DataError(f"{path}: {fault}") from fault.__cause__
    except Exception as error:  # readers do not wrap the exceptions of their parsers
        raise DataError(f"{path}: {_describe(error, kind=kind)}") from error


def _check_content(path: Path, *, kind: str, may_be_empty: bool) -> None:
    if not regular_size(path, kind=kind) and not may_be_empty:
        raise FileFault("found an empty file", kind, COPY_AGAIN)


def regular_size(path: Path, *, kind: str) -> int:
    """Return the size of a regular file in bytes.

    Raises:
        FileFault: the path is a broken link, a folder, a pipe, a socket or a device.
        OSError: there is no such file.
    """
    if path.is_symlink() and not path.exists():
        target = path.readlink()
        if "annex/objects/" in target.as_posix():
            raise FileFault("found a git-annex link without its content", kind, "run git annex get")
        raise FileFault(f"found a broken link to {target}", kind, "correct the link or copy the file")
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise FileFault("found a folder", kind, "move it away and copy the file there")
    if not stat.S_ISREG(status.st_mode):
        raise FileFault("found a pipe, socket or device", kind, "copy the file there")
    return status.st_size


def read_text(path: Path, *, kind: str, errors: str = "strict") -> str:
    """Return a text file; a byte order mark is left out, and `errors` treats what is not UTF-8 as `open` does.

    Raises:
        DataError: "<path>: found ..., expected ...; what to do".
    """

    def read(path: Path) -> str:
        size = path.stat().st_size
        if size > TEXT_LIMIT_BYTES:
            raise FileFault(f"found {size:,} bytes", f"{kind} of at most {TEXT_LIMIT_BYTES:,}", COPY_AGAIN)
        return path.read_text(encoding="utf-8-sig", errors=errors)

    return read_file(path, read, kind=kind, may_be_empty=True)


def check_size(nbytes: int, finding: str, *, is_plane: bool = False) -> None:
    """Raise FileFault if a file would be decoded into too many bytes; `finding` describes its content.

    `is_plane` selects the smaller limit for one plane of a TIFF or PNG file.
    """
    limit = _chosen_limit()
    if limit is None:
        limit = PLANE_LIMIT_BYTES if is_plane else LIMIT_BYTES
    if nbytes > limit:
        advice = "crop or resample the image, or raise the limit with --size-limit GIB"
        raise FileFault(f"found {finding}", f"at most {limit:,}", advice)


def describe_content(start: bytes) -> str:
    """Describe a file of another format than expected, given its first bytes."""
    text = start.lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        return "a git-LFS pointer (run git lfs pull)"
    if b"/annex/objects/" in text:
        return "a git-annex pointer (run git annex get)"
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page, such as an error or a log-in"
    return f"another format, which begins with {start[:8]!r}"


def _chosen_limit() -> int | None:
    text = os.environ.get(LIMIT_VARIABLE)
    if not text:
        return None
    try:
        limit = round(float(text) * GIB)
    except (ValueError, OverflowError):
        limit = 0
    if limit <= 0:
        raise UsageError(f"{LIMIT_VARIABLE}: found '{text}', expected a positive number of GiB; correct it")
    return limit


def _describe(error: Exception, *, kind: str) -> FileFault:
    if isinstance(error, MemoryError):
        finding = "found a file that needs more memory than is free"
        return FileFault(finding, f"{kind} that fits", "free memory, or crop the image")
    if isinstance(error, FileNotFoundError):
        return FileFault("found no such file", kind, "copy it there or correct the path")
    if isinstance(error, PermissionError):
        advice = "allow reading it, for example with chmod"
        return FileFault("found a file without permission to read it", kind, advice)
    reason = getattr(error, "strerror", None) or _first_line(error)
    return FileFault(f"found a file that cannot be read ({reason})", kind, COPY_AGAIN)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    name = type(error).__name__
    return f"{name}: {lines[0].strip()}" if lines else name
