"""Commands of benchbench as copies of this process, and strace, which stops them at a system call."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn

import torch

from benchbench import report
from benchbench.cli import main as benchbench
from benchbench.launch import fork_server, worker_process

_ANY_TRACER = ctypes.c_ulong(-1)
_SET_TRACER = 0x59616D61  # prctl(PR_SET_PTRACER)
_WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC")
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
_ATTACH_SECONDS = 30.0
_COMMAND_SECONDS = 600.0


@dataclass(frozen=True)
class Command:
    """A command line of benchbench, and the file that takes its output."""

    words: Sequence[str]
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")


class Outcome(NamedTuple):
    """The end of a command that was stopped."""

    is_reached: bool
    """False if it ended before the call."""
    code: int
    place: str
    """The call that was stopped, with its file."""


def run_forked(command: Command, *, modules: Path | None = None) -> int:
    """Run a command in a copy of this process and return its exit code."""
    process = _fork(command, gate=None, modules=modules)
    return _wait(process)


def import_for(command: Command, modules: Path) -> int:
    """Run a command and import what it imported, so that further copies need not; return its exit code."""
    code = run_forked(command, modules=modules)
    for name in modules.read_text().splitlines():
        with contextlib.suppress(Exception):  # a module that cannot be imported alone
            importlib.import_module(name)
    return code


def start_forked(command: Command) -> int:
    """Start a command in a copy of this process and return its process id."""
    return _fork(command, gate=None)


def exit_code(process: int) -> int | None:
    """Return the exit code of a copy of this process; None while it runs."""
    ended, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def run_stopped(
    command: Command, log: Path, *, call: str, number: int, error: str, concurrent: Command | None
) -> Outcome:
    """Run a command under strace, which stops it at the N-th such call of one of its threads."""
    action = f"error={error}" if error else "signal=KILL"
    options = ["-e", f"trace={call}", "-e", f"inject={call}:{action}:when={number}"]
    other = _fork(concurrent, gate=None) if concurrent is not None else 0
    code = _run_traced(command, log, options)
    if other:
        _wait(other)
    return _read_outcome(log, call, number, error, code)


def find_calls(
    command: Command, log: Path, kinds: Mapping[str, Sequence[str]], *, below: Path
) -> list[tuple[str, str, int]]:
    """Return (kind, call, number) of the calls on files below a folder; each thread counts its own calls."""
    names = {name: kind for kind, group in kinds.items() for name in group}
    _run_traced(command, log, ["-e", f"trace={','.join(names)}"])
    counts: Counter[tuple[str, str]] = Counter()
    calls: dict[tuple[str, str, int], None] = {}
    for line in log.read_text(errors="replace").splitlines():
        match = _CALL.match(line)
        if match is None:
            continue
        process, name, arguments = match.groups()
        counts[process, name] += 1
        is_writing = name != "openat" or _WRITING.search(arguments) is not None
        if str(below) in arguments and is_writing:
            calls[names[name], name, counts[process, name]] = None
    return list(calls)


def _run_traced(command: Command, log: Path, options: Sequence[str]) -> int:
    gate = os.pipe()
    process = _fork(command, gate=gate)
    os.close(gate[0])
    words = ["strace", "-f", "-y", "-qq", "-s", "0", "-o", str(log), *options, "-p", str(process)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as strace:  # noqa: S603
        _wait_for_tracer(process)
        os.close(gate[1])
        code = _wait(process)
        strace.wait()
    return code


def _wait_for_tracer(process: int) -> None:
    end = time.monotonic() + _ATTACH_SECONDS
    while "TracerPid:\t0\n" in Path(f"/proc/{process}/status").read_text():
        if time.monotonic() > end:
            raise SystemExit("strace could not attach: this needs ptrace, which containers may forbid")
        time.sleep(0.005)


def _read_outcome(log: Path, call: str, number: int, error: str, code: int) -> Outcome:
    lines = log.read_text(errors="replace").splitlines()
    if error:
        injected = [line for line in lines if "(INJECTED)" in line]
        return Outcome(bool(injected), code, injected[0] if injected else "")
    counts: Counter[str] = Counter()
    for line in lines:
        match = _CALL.match(line)
        if match is None or match[2] != call:
            continue
        counts[match[1]] += 1
        if counts[match[1]] == number:
            return Outcome(True, code, match[3])
    return Outcome(False, code, "")


def _fork(command: Command, *, gate: tuple[int, int] | None, modules: Path | None = None) -> int:
    process = os.fork()
    if process == 0:
        _be_command(command, gate, modules)
    return process


def _be_command(command: Command, gate: tuple[int, int] | None, modules: Path | None) -> NoReturn:
    """Be the command, once the other end of the gate is closed."""
    code = 1
    try:
        os.setpgid(0, 0)
        log = os.open(command.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        sys.stdout, sys.stderr = (os.fdopen(descriptor, "w", buffering=1, closefd=False) for descriptor in (1, 2))
        if gate is not None:
            ctypes.CDLL(None).prctl(_SET_TRACER, _ANY_TRACER, 0, 0, 0)
            os.close(gate[1])
            os.read(gate[0], 1)
        torch.set_num_threads(1)
        known = set(sys.modules)
        _leave_out_slow_parts()
        sys.argv = ["benchbench", *command.words]
        try:
            benchbench()
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
        if modules is not None:
            modules.write_text("\n".join(sorted(set(sys.modules) - known)))
    except BaseException:  # noqa: BLE001 printed as the interpreter would
        traceback.print_exc()
    finally:
        os._exit(code)


def _leave_out_slow_parts() -> None:
    os.environ.update(OMP_NUM_THREADS="1", NO_ALBUMENTATIONS_UPDATE="1")
    modules: Any = report, worker_process
    modules[0].draw_figures = lambda *_, **__: []
    modules[0].boards = lambda *_: []
    modules[0].benchmark_page = lambda *_, **__: ""
    start = subprocess.Popen

    def popen(words: Sequence[str], **options: Any) -> Any:
        if "benchbench.launch.fork_server" in words:
            return _ForkedServer(words, options["pass_fds"])
        return start(words, **options)

    # for this module alone: Ray derives a class from Popen
    modules[1].subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": popen})


def _close_all_but(descriptors: Sequence[int]) -> None:
    for path in list(Path("/proc/self/fd").iterdir()):
        descriptor = int(path.name)
        if descriptor > 2 and descriptor not in descriptors:
            with contextlib.suppress(OSError):  # the one that listed the folder
                os.close(descriptor)


class _ForkedServer:
    """The fork server as a copy of this process, which needs no imports; its methods are those of Popen."""

    def __init__(self, words: Sequence[str], descriptors: Sequence[int]) -> None:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        self._code: int | None = None
        self._process = os.fork()
        if self._process == 0:
            _close_all_but(descriptors)  # it ends when the socket of the command is closed
            os.setsid()
            for name in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
                signal.signal(name, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            sys.argv = ["fork_server", words[-1]]
            code = 1
            try:
                code = fork_server.main()
            finally:  # an error must not let this copy go on as the launcher
                os._exit(code)

    def poll(self) -> int | None:
        if self._code is None:
            process, status = os.waitpid(self._process, os.WNOHANG)
            if process:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self._process, signal.SIGKILL)

    def wait(self) -> int:
        while self.poll() is None:
            time.sleep(0.005)
        return self._code or 0


def _wait(process: int) -> int:
    """Return the exit code of a copy of this process; one that hangs is killed."""
    end = time.monotonic() + _COMMAND_SECONDS
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.01)
