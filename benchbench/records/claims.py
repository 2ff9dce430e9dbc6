"""Claims: which process of which machine carries out a run of a results folder that several machines share.

The claims of a run are files `.claim-1`, `.claim-2` and so on in its folder. The last one counts: its owner
carries out the run until it releases the claim, or until the claim expires because its owner no longer renews
it. A process that takes over creates the next file, so that a process that was paused and continues finds that
its claim is no longer the last one. `benchbench run` removes the claims of runs that are done at its end.

A claim is created by link(2), which fails where the name exists, also over NFS; flock(2) is local or absent on
many network file systems. Ages are computed from the times that the file system gives to files, because the
clocks of machines differ. The name of the machine is in the file only as long as the claim is active.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchbench.errors import UsageError

CLAIM_PREFIX = ".claim-"
RENEWAL_SECONDS = 15.0
"""Time between two renewals of a claim."""
EXPIRY_SECONDS = 120.0
"""Age of the last renewal from which another process may take over."""
EXPIRY_VARIABLE = "BENCHBENCH_CLAIM_SECONDS"
"""Environment variable that replaces `EXPIRY_SECONDS`."""
LOST = "lost"
"""Outcome of a claim whose owner died or lost the results folder."""
INTERRUPTED = "interrupted"
"""Outcome of a claim whose owner was stopped."""
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK}


class Holder(NamedTuple):
    """The owner of a claim."""

    owner: str
    """An identifier that no other claim has."""
    host: str
    process: int
    started: str
    """Start of the process in the unit of its system, which tells it from a later one with its number."""
    system: str
    """The running system and its namespace of processes; '' where they are unknown."""

    @property
    def has_died(self) -> bool:
        """True if the process ran on this system and has ended; of another system, nothing is known."""
        if not self.system or self.system != _system():
            return False
        return _start_of(self.process) != self.started


class ClaimState(NamedTuple):
    """The content of a claim, and when it was renewed."""

    number: int
    holder: Holder | None
    """None where the claim was released."""
    outcome: str
    """How the claim ended, '' while it is active."""
    renewed: float
    """Time of the last renewal by the clock of the file system."""

    def is_active(self, now: float) -> bool:
        """Return True if the owner is alive and renews the claim, as far as that can be known."""
        if self.holder is None or self.holder.has_died:
            return False
        return now - self.renewed < expiry_seconds()


@dataclass(frozen=True)
class Claim:
    """A claim that this process has."""

    folder: Path
    number: int
    holder: Holder

    def renew(self) -> None:
        """Record that the owner is alive; the file system sets the time."""
        with contextlib.suppress(OSError):  # the next renewal may succeed, and a claim that expires is found out
            os.utime(_path(self.folder, self.number))

    @property
    def is_current(self) -> bool:
        """True if the file of this claim exists and no later claim does."""
        state = _read(self.folder, self.number)
        is_ours = state is not None and state.holder == self.holder
        return is_ours and not _path(self.folder, self.number + 1).exists()

    def release(self, outcome: str) -> None:
        """Give the run back and record how it ended."""
        if self.is_current:
            content = json.dumps({"outcome": outcome}).encode()
            with _unique_file(self.folder, content) as unique:
                unique.replace(_path(self.folder, self.number))


def try_claim(folder: Path) -> Claim | None:
    """Return a claim of the run of a folder, or None while another process has one.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    holder = _this_holder()
    with _unique_file(folder, json.dumps(holder._asdict()).encode()) as unique:
        now = unique.stat().st_mtime
        last = last_claim(folder)
        if last is not None and last.is_active(now):
            return None
        number = 1 if last is None else last.number + 1
        if not _create(unique, _path(folder, number)):
            return None
    return Claim(folder, number, holder)


def last_claim(folder: Path) -> ClaimState | None:
    """Return the last claim of a run; None where nobody has claimed it."""
    numbers = [0]
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 names are enough
            suffix = name.removeprefix(CLAIM_PREFIX)
            if suffix != name and suffix.isdecimal():
                numbers.append(int(suffix))
    number = max(numbers)
    # a listing may be old on a network file system; opening a file asks its server
    last = _read(folder, number) if number else None
    while (later := _read(folder, number + 1)) is not None:
        number, last = number + 1, later
    return last


def all_claims(folder: Path) -> list[ClaimState]:
    """Return the claims of a run, the first one first."""
    claims: list[ClaimState] = []
    while (claim := _read(folder, len(claims) + 1)) is not None:
        claims.append(claim)
    return claims


def has_claims(folder: Path) -> bool:
    """Return True if a process has claimed the run, whether or not it has released the claim."""
    return any(folder.glob(f"{CLAIM_PREFIX}*"))


def remove_claims(folder: Path) -> None:
    """Remove the claims of a run that is done, the last one first, so that none that was taken over counts again.

    Raises:
        OSError: a claim cannot be removed.
    """
    last = last_claim(folder)
    for number in range(last.number if last else 0, 0, -1):
        _path(folder, number).unlink(missing_ok=True)


def active_claim(folder: Path, *, but: Claim | None = None) -> ClaimState | None:
    """Return the claim that another process has on a run; `but` is the caller's own claim."""
    last = last_claim(folder)
    if last is None or last.holder is None or last.holder.has_died:
        return None
    if but is not None and last.number == but.number:
        return None
    try:
        now = file_system_time(folder)
    except OSError:  # a folder that cannot be written has no better clock
        now = time.time()
    return last if last.is_active(now) else None


@contextlib.contextmanager
def renewing(renew: Callable[[], None], seconds: float | None = None) -> Iterator[None]:
    """Call `renew` from another thread until the block ends."""
    pause = seconds or min(RENEWAL_SECONDS, expiry_seconds() / 4)
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(pause):
            renew()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def file_system_time(folder: Path) -> float:
    """Return the present time by the clock of the file system, which is not that of this machine on a network.

    Raises:
        OSError: the folder cannot be written.
    """
    with _unique_file(folder, b"") as unique:
        return unique.stat().st_mtime


def expiry_seconds() -> float:
    """Return the age from which a claim is taken over.

    Raises:
        UsageError: the environment variable is no positive number.
    """
    text = os.environ.get(EXPIRY_VARIABLE)
    if not text:
        return EXPIRY_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise UsageError(f"{EXPIRY_VARIABLE}: found '{text}', expected a positive number of seconds; correct it")
    return seconds


def _path(folder: Path, number: int) -> Path:
    return folder / f"{CLAIM_PREFIX}{number}"


def _read(folder: Path, number: int) -> ClaimState | None:
    try:
        with _path(folder, number).open("rb") as file:
            text = file.read()
            renewed = os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
    try:
        holder, outcome = _parse(text)
    except (ValueError, TypeError, AttributeError, RecursionError):  # cut off by a power cut, or edited
        holder, outcome = None, LOST
    return ClaimState(number, holder, outcome, renewed)


def _parse(text: bytes) -> tuple[Holder | None, str]:
    """Return the owner of a claim, or how it ended."""
    content: dict[str, Any] = json.loads(text)
    if "owner" not in content:
        return None, str(content.get("outcome", LOST))
    return Holder(**content), ""


def _create(unique: Path, path: Path) -> bool:
    """Give a file its second name; return False where another process was faster."""
    try:
        os.link(unique, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in _NO_LINKS:  # a file system without links, such as that of a memory card
            return _create_without_link(unique, path)
        # the answer of an NFS server may be lost after it made the link (open(2), O_EXCL)
        if unique.stat().st_nlink == 2:
            return True
        raise
    return True


def _create_without_link(unique: Path, path: Path) -> bool:
    try:
        with path.open("xb") as file:
            file.write(unique.read_bytes())
    except FileExistsError:
        return False
    return True


@contextlib.contextmanager
def _unique_file(folder: Path, content: bytes) -> Iterator[Path]:
    """Yield a new file of which no other process knows the name, and remove that name again."""
    path = folder / f".claim.{uuid.uuid4().hex}"
    try:
        path.write_bytes(content)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _this_holder() -> Holder:
    process = os.getpid()
    return Holder(uuid.uuid4().hex, socket.gethostname(), process, _start_of(process), _system())


def _system() -> str:
    """Return the identifier of the running system and of its namespace of processes; '' outside Linux."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 not a path
    except OSError:
        return ""


def _start_of(process: int) -> str:
    """Return the start of a process in clock ticks since that of the system; '' where there is no such process."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()  # a name may hold spaces and brackets
    state, start = fields[0], fields[19]
    return "" if state in {"Z", "X"} else start
