"""The command line inside this process: what a user reads and the exit code, without the seconds of a start."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from benchbench.cli import _run


class Done(NamedTuple):
    """The end of a command, named as `subprocess.CompletedProcess` names it."""

    returncode: int
    stdout: str
    stderr: str


class Terminal(io.StringIO):
    """Output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def benchbench(*words: object, cwd: Path, columns: int | None = None, **variables: str) -> Done:
    """Run `benchbench` with these words in a folder, with a cache below it; with `columns`, on a terminal."""
    environment = {"BENCHBENCH_CACHE": str(cwd / "cache"), **variables}
    stdout, stderr = io.StringIO(), io.StringIO()
    if columns is not None:
        stdout = Terminal()
        environment |= {"COLUMNS": str(columns), "TERM": "xterm"}
    with (
        contextlib.chdir(cwd),
        mock.patch.dict(os.environ, environment),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        returncode = _run([str(word) for word in words])
    return Done(returncode, stdout.getvalue(), stderr.getvalue())
