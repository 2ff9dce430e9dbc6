"""Storage that refuses to be changed: a read-only folder or a full disk, also for the superuser who runs a test."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_CHANGING = ("mkdir", "unlink", "rename", "replace", "rmdir", "utime", "link", "symlink")
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def make_read_only(monkeypatch: pytest.MonkeyPatch, folder: Path, number: int = errno.EROFS) -> None:
    """Let every change below a folder fail with this error number, in this process."""

    def refuse(path: object) -> None:
        if isinstance(path, str | os.PathLike) and Path(path).absolute().is_relative_to(folder):
            raise OSError(number, os.strerror(number), os.fspath(path))

    def guard(function: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(path: Any, *given: Any, **named: Any) -> Any:
            refuse(path)
            return function(path, *given, **named)

        return guarded

    for name in _CHANGING:
        monkeypatch.setattr(os, name, guard(getattr(os, name)))
    real_open, real_os_open = builtins.open, os.open

    def open_(file: Any, mode: str = "r", *given: Any, **named: Any) -> Any:
        if set(mode) & set("wax+"):
            refuse(file)
        return real_open(file, mode, *given, **named)

    def os_open(path: Any, flags: int, *given: Any, **named: Any) -> int:
        if flags & _WRITE_FLAGS:
            refuse(path)
        return real_os_open(path, flags, *given, **named)

    monkeypatch.setattr(builtins, "open", open_)
    monkeypatch.setattr(io, "open", open_)
    monkeypatch.setattr(os, "open", os_open)


def fill_disk(monkeypatch: pytest.MonkeyPatch, *, after: int = 0) -> None:
    """Let every write fail that reaches the disk, apart from the first ones."""
    real = os.fsync
    left = after

    def fsync(descriptor: int) -> None:
        nonlocal left
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left -= 1
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
