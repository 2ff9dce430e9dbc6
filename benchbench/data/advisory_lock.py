"""Locks of files on file systems that may have none."""

from __future__ import annotations

import contextlib
import errno

from filelock import BaseFileLock

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


def acquire_where_possible(lock: BaseFileLock) -> None:
    """Acquire a lock; on a file system without locks, which some clusters have, continue without one.

    Raises:
        Timeout: another process has the lock.
        OSError: the file of the lock cannot be written.
    """
    try:
        with contextlib.suppress(NotImplementedError):
            lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
