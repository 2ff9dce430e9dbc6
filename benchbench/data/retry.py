"""Repeats actions that fail for a reason that may pass, such as a network drive that is away for a moment.

Written here because pooch and urllib3 retry only their own requests, and because no wait may pass unreported.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

STORAGE_WAITS = (0.5, 2.0, 8.0)
"""Seconds before each further attempt to read a file."""
_TRANSIENT_ERRORS = {
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


def retry(
    action: Callable[[], T],
    *,
    waits: Sequence[float],
    is_transient: Callable[[Exception], bool],
    wait: Callable[[Exception, float], None],
) -> T:
    """Return the result of `action`, which is tried once and then again after each of the `waits`, in seconds.

    Before every further attempt, `wait(error, seconds)` is called with the error of the last one.

    Raises:
        Exception: the error of the last attempt, or the first one that is not transient.
    """
    for seconds in waits:
        try:
            return action()
        except Exception as error:
            if not is_transient(error):
                raise
            wait(error, seconds)
    return action()


def retry_read(read: Callable[[], T], *, sleep: Callable[[float], None] | None = None) -> T:
    """Return the result of `read`, repeated while the operating system reports that the storage is not reachable.

    Raises:
        Exception: the error of the last attempt, or the first one with another reason.
    """

    def wait(_: Exception, seconds: float) -> None:
        (sleep or time.sleep)(seconds)

    return retry(read, waits=STORAGE_WAITS, is_transient=_is_storage_away, wait=wait)


def _is_storage_away(error: BaseException) -> bool:
    """Return True if an error of the operating system, direct or as the cause, is one that may pass."""
    while not isinstance(error, OSError):
        if error.__cause__ is None:
            return False
        error = error.__cause__
    return error.errno in _TRANSIENT_ERRORS
