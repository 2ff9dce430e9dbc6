"""Gives damaged files to the readers and commands, and reports tracebacks, hangs and memory.

    python benchmarks/evidence/fuzz.py
    python benchmarks/evidence/fuzz.py --kind tiff --inputs 500 --seed 3 --keep folder
    python benchmarks/evidence/fuzz.py --kind png --only 1234

Every input is drawn from the seed, its kind and its number alone, so that one input can be tried again. A forked
process reads one input after the other; it is replaced where it hangs, is killed or runs out of memory. An error
that benchbench raises for users, one line for each problem, is the expected outcome of a damaged file.

The exit status is 1 if an input causes a traceback, takes more than 20 s or more than 500 MB of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT / "tests"), str(ROOT / "tests" / "third_party")]

import fuzz_benchmarks  # noqa: E402 the path is complete only now
import fuzz_images  # noqa: E402
import fuzz_weights  # noqa: E402

from benchbench.errors import BenchbenchError  # noqa: E402

SECONDS = 20.0
"""Time after which an input counts as a hang."""
MOST_BYTES = 500 * 2**20
"""Memory that reading an input may take."""
_LIMIT_BYTES = 3 * 2**30
"""Address space that a process may add; beyond it Python raises MemoryError."""
_REPLACED_AFTER = 500
"""Number of inputs that a process reads; what readers keep in memory would be counted as that of later inputs."""

Draw = Callable[[random.Random, Path], Path]
Read = Callable[[Path], None]


class Kind(NamedTuple):
    """A kind of input."""

    draw: Draw
    """Writes a damaged input into an empty folder and returns its path."""
    read: Read
    """Uses the input as a command does; raises BenchbenchError where it is refused."""


KINDS = {
    "nifti": Kind(fuzz_images.draw_nifti, fuzz_images.read_nifti),
    "tiff": Kind(fuzz_images.draw_tiff, fuzz_images.read_tiff),
    "png": Kind(fuzz_images.draw_png, fuzz_images.read_png),
    "benchmark": Kind(fuzz_benchmarks.draw_file, fuzz_benchmarks.read_file),
    "results": Kind(fuzz_benchmarks.draw_results, fuzz_benchmarks.read_results_folder),
    "pth": Kind(fuzz_weights.draw_pth, fuzz_weights.read_pth),
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one input."""

    kind: str
    number: int
    outcome: str
    """read, refused, traceback, hang, killed or memory."""
    seconds: float
    megabytes: int
    """Memory that the process had at most, less what it had before."""
    message: str = ""
    """The problem that a user reads, or the end of the traceback."""

    @property
    def is_fault(self) -> bool:
        return self.outcome not in {"read", "refused"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kind", choices=KINDS, action="append", help="default: all kinds")
    parser.add_argument("--inputs", type=int, default=2000, help="number of inputs of each kind (default: 2000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="try only the input with this number")
    parser.add_argument("--keep", type=Path, help="folder for inputs with a fault")
    parser.add_argument("--json", type=Path, help="file for the outcome of every input")
    options = parser.parse_args()
    numbers = range(options.inputs) if options.only is None else [options.only]
    outcomes: list[Outcome] = []
    for kind in options.kind or KINDS:
        start = time.perf_counter()
        of_kind = list(fuzz(kind, numbers, seed=options.seed, keep=options.keep))
        outcomes += of_kind
        print_summary(kind, of_kind, seconds=time.perf_counter() - start)
    if options.json:
        options.json.write_text("\n".join(json.dumps(asdict(outcome)) for outcome in outcomes) + "\n")
    sys.exit(any(outcome.is_fault for outcome in outcomes))


def print_summary(kind: str, outcomes: Sequence[Outcome], *, seconds: float) -> None:
    """Print the numbers of one kind, and each fault once."""
    counts = ", ".join(f"{count} {name}" for name, count in Counter(o.outcome for o in outcomes).most_common())
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    largest = max(outcomes, key=lambda outcome: outcome.megabytes)
    print(f"{kind}: {len(outcomes)} inputs in {seconds:.0f} s: {counts}")
    print(
        f"  slowest {slowest.seconds:.2f} s (input {slowest.number}), most memory {largest.megabytes} MB"
        f" (input {largest.number})"
    )
    faults: dict[str, list[int]] = {}
    for outcome in outcomes:
        if outcome.is_fault:
            faults.setdefault(f"{outcome.outcome}: {outcome.message}", []).append(outcome.number)
    for text, numbers in faults.items():
        print(f"  {len(numbers)} x {text} (inputs {', '.join(map(str, numbers[:4]))})")


def fuzz(kind: str, numbers: Sequence[int], *, seed: int = 0, keep: Path | None = None) -> Iterator[Outcome]:
    """Yield the outcome of each input."""
    if kind == "results":
        fuzz_benchmarks.template()  # once, before processes are forked
    waiting = list(numbers)
    while waiting:
        chunk = waiting[:_REPLACED_AFTER]
        read = 0
        for outcome in _in_child(kind, chunk, seed=seed, keep=keep):
            read += 1
            yield outcome
        waiting = waiting[read:]


def _in_child(kind: str, numbers: Sequence[int], *, seed: int, keep: Path | None) -> Iterator[Outcome]:
    """Yield outcomes from a forked process, until one of them ends it."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    child = os.fork()
    if not child:
        receiver.close()
        _serve(kind, numbers, sender, folder, seed=seed, keep=keep)
    sender.close()
    try:
        for number in numbers:
            outcome = _receive(receiver, kind, number)
            is_over = outcome.outcome in {"hang", "killed"}
            if is_over:
                _keep(folder, keep, f"{kind}-{seed}-{number}")
            yield outcome
            if is_over:
                break
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        shutil.rmtree(folder, ignore_errors=True)


def _receive(receiver: Connection, kind: str, number: int) -> Outcome:
    if not receiver.poll(SECONDS):
        return Outcome(kind=kind, number=number, outcome="hang", seconds=SECONDS, megabytes=0)
    try:
        outcome: Outcome = receiver.recv()
    except EOFError:
        return Outcome(kind=kind, number=number, outcome="killed", seconds=0.0, megabytes=0)
    return outcome


def _keep(folder: Path, keep: Path | None, name: str) -> None:
    if keep is not None:
        shutil.copytree(folder, keep / name, dirs_exist_ok=True, symlinks=True)


def _serve(
    kind: str, numbers: Sequence[int], sender: Connection, folder: Path, *, seed: int, keep: Path | None
) -> None:
    """Read inputs in this process and send their outcomes; never returns."""
    errors = os.dup(2)
    try:
        _prepare_process()
        for number in numbers:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            outcome = try_input(kind, number, folder, seed=seed)
            if outcome.is_fault:
                _keep(folder, keep, f"{kind}-{seed}-{number}")
            sender.send(outcome)
        signal.pause()  # the parent ends this process once it has received everything
    except BaseException:  # noqa: BLE001 a fault of this script: it must not return into the copy of the parent
        os.write(errors, traceback.format_exc().encode())
    finally:
        os._exit(1)


def _prepare_process() -> None:
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    address_space = _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (address_space + _LIMIT_BYTES, resource.RLIM_INFINITY))


def try_input(kind: str, number: int, folder: Path, *, seed: int) -> Outcome:
    """Draw an input into a folder, read it, and return what happened."""
    rng = random.Random(f"{seed} {kind} {number}")  # noqa: S311 the same inputs on every machine
    path = KINDS[kind].draw(rng, folder)
    before = _reset_peak()
    start = time.perf_counter()
    outcome, message = "read", ""
    try:
        KINDS[kind].read(path)
    except BenchbenchError as error:
        outcome, message = "refused", str(error.problems[0])
        if any("\n" in problem for problem in error.problems):
            outcome, message = "traceback", f"a problem of several lines: {message}"
    except BaseException as error:  # noqa: BLE001 an exit is a fault, too
        outcome, message = "traceback", _describe(error)
    seconds = time.perf_counter() - start
    used = _status("VmHWM") - before
    if outcome != "traceback" and used > MOST_BYTES:
        outcome = "memory"
    if outcome != "traceback" and seconds > SECONDS:
        outcome = "hang"
    return Outcome(
        kind=kind, number=number, outcome=outcome, seconds=seconds, megabytes=used >> 20, message=message
    )


def _describe(error: BaseException) -> str:
    """Return the exception and the last line of our code that it passed."""
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if "benchbench" in frame.filename:
            place = f" in {Path(frame.filename).name}:{frame.lineno}"
    text = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {text[:120]}{place}"


def _reset_peak() -> int:
    """Return the memory of this process in bytes and let the kernel record its peak from here."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _status(name: str) -> int:
    """Return a value of this process from Linux, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise KeyError(name)


if __name__ == "__main__":
    main()
