"""Signals that ask a run to stop: it saves its state after the step under way, and ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGTERM", "SIGUSR1", "SIGINT")
STOP_SIGNALS = tuple(signal.Signals[name] for name in _NAMES if name in signal.Signals.__members__)
"""SIGTERM comes from a launcher or a cluster, SIGUSR1 from SLURM before its time limit, SIGINT from Ctrl-C."""


class StoppedError(SystemExit):
    """The run has stopped because of a signal; its state is saved, and it resumes when it is started again."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number
        """The number of the signal."""


class StopRequest:
    """The signal that asked this process to stop, if one came."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._raises_at_once = False

    def raise_at_once(self) -> None:
        """Stop as soon as a signal comes, also in the middle of a computation: there is nothing left to lose.

        Raises:
            StoppedError: a signal has come already.
        """
        self._raises_at_once = True
        self.check()

    def check(self) -> None:
        """Stop if a signal has come.

        Raises:
            StoppedError: a signal has come.
        """
        if self.number is not None:
            raise StoppedError(self.number)

    def receive(self, number: int, _: FrameType | None) -> None:
        """Note a signal; a second Ctrl-C stops at once, without saving."""
        is_repeated = self.number == number == signal.SIGINT
        self.number = number
        if is_repeated or self._raises_at_once:
            self.check()


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Note the signals that ask this process to stop, inside the block.

    Only the main thread of a process can do this; in another thread, nothing is noted.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    earlier = {number: signal.signal(number, request.receive) for number in STOP_SIGNALS}
    try:
        yield request
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
