from __future__ import annotations

import errno
import os

import pytest

from benchbench import DataError
from benchbench.data.patience import WAITS, patiently


class Mount:
    """Storage that is away for some reads."""

    def __init__(self, away: int, error: Exception) -> None:
        self.away = away
        self.error = error
        self.waited: list[float] = []

    def read(self) -> str:
        if self.away:
            self.away -= 1
            raise self.error
        return "voxels"

    def tried(self) -> str:
        return patiently(self.read, sleep=self.waited.append)


def told(number: int) -> DataError:
    """What a reader makes of an error of the system."""
    error = DataError("a.nii: cannot be read")
    error.__cause__ = OSError(number, os.strerror(number))
    return error


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOTCONN, errno.ESTALE])
@pytest.mark.parametrize("is_told", [False, True])
def test_storage_that_comes_back_is_waited_for(number: int, is_told: bool) -> None:
    mount = Mount(2, told(number) if is_told else OSError(number, os.strerror(number)))
    assert mount.tried() == "voxels"
    assert mount.waited == list(WAITS[:2])


def test_storage_that_stays_away_is_given_up() -> None:
    mount = Mount(99, told(errno.EIO))
    with pytest.raises(DataError, match="cannot be read"):
        mount.tried()
    assert mount.waited == list(WAITS)


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "no"), DataError("wrong label"), ValueError()])
def test_what_will_not_pass_is_not_waited_for(error: Exception) -> None:
    mount = Mount(99, error)
    with pytest.raises(type(error)):
        mount.tried()
    assert mount.waited == []
