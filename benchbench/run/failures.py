"""The reason, in one line, why an exception ended a run or a trial."""

from __future__ import annotations

from benchbench.errors import BenchbenchError, is_storage_failure, storage_error


def is_expected(error: BaseException) -> bool:
    """Return True for a failure of which the message says everything."""
    return isinstance(error, BenchbenchError) or is_storage_failure(error)


def describe_failure(error: BaseException) -> str:
    """Return the reason in one line."""
    if isinstance(error, BenchbenchError):
        return str(error)
    if isinstance(error, OSError) and is_storage_failure(error):
        return str(storage_error(error))
    message = str(error).strip() or "no message"
    return f"{type(error).__name__}: {message.splitlines()[0]} (see worker.log)"
