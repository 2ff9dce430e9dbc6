from __future__ import annotations

import errno
import os

import pytest

from benchbench import DataError
from benchbench.data.retry import STORAGE_WAITS, retry_read


class Mount:
    """Storage that fails some reads before it succeeds."""

    def __init__(self, away: int, error: Exception) -> None:
        self.away = away
        self.error = error
        self.waited: list[float] = []

    def read(self) -> str:
        if self.away:
            self.away -= 1
            raise self.error
        return "voxels"

    def read_with_retries(self) -> str:
        return retry_read(self.read, sleep=self.waited.append)


def wrapped(number: int) -> DataError:
    """Return the error that a reader raises because of an error of the operating system."""
    error = DataError("a.nii: cannot be read")
    error.__cause__ = OSError(number, os.strerror(number))
    return error


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOTCONN, errno.ESTALE])
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_read_is_repeated_until_the_storage_is_back(number: int, is_wrapped: bool) -> None:
    mount = Mount(2, wrapped(number) if is_wrapped else OSError(number, os.strerror(number)))
    assert mount.read_with_retries() == "voxels"
    assert mount.waited == list(STORAGE_WAITS[:2])


def test_the_last_error_is_raised_if_the_storage_stays_away() -> None:
    mount = Mount(99, wrapped(errno.EIO))
    with pytest.raises(DataError, match="cannot be read"):
        mount.read_with_retries()
    assert mount.waited == list(STORAGE_WAITS)


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "no"), DataError("wrong label"), ValueError()])
def test_a_permanent_error_is_not_retried(error: Exception) -> None:
    mount = Mount(99, error)
    with pytest.raises(type(error)):
        mount.read_with_retries()
    assert mount.waited == []
