"""Reads again what a slow or vanishing mount did not give at once."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

WAITS = (0.5, 2.0, 8.0)
_PASSING = {
    errno.EIO,
    errno.EAGAIN,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
}


def patiently(read: Callable[[], T], *, sleep: Callable[[float], None] | None = None) -> T:
    """What `read` gives, tried up to four times where the system says that the storage is away for now.

    Raises:
        Exception: whatever `read` raises that does not pass.
    """
    for pause in WAITS:
        try:
            return read()
        except Exception as error:
            if not _is_passing(error):
                raise
            (sleep or time.sleep)(pause)
    return read()


def _is_passing(error: BaseException) -> bool:
    """Whether an error is, or is told because of, one of the system's that may pass."""
    while not isinstance(error, OSError):
        if error.__cause__ is None:
            return False
        error = error.__cause__
    return error.errno in _PASSING
