"""Calls a function in a child process, which can crash or exit without harm to this one."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TypeVar

import torch

T = TypeVar("T")


class ChildExitError(Exception):
    """A child process ended before its function returned; the message says how."""


def call_in_child(function: Callable[[], T]) -> T:
    """Return what a function returns in a copy of this process; what it prints goes to standard error.

    Raises:
        ChildExitError: the process ended before.
    """
    context = get_context("fork")  # a new interpreter would import torch again, which takes seconds
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send_result, args=(function, sender))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of other threads; the child uses none of them
        child.start()
    sender.close()
    results: list[T] = []
    try:
        results.append(receiver.recv())
    except EOFError:
        pass
    finally:
        receiver.close()
        child.join()
    if not results:
        raise ChildExitError(_describe_exit(child.exitcode or 0))
    return results[0]


def _send_result(function: Callable[[], T], sender: Connection) -> None:
    torch.set_num_threads(1)  # the threads of the parent's pool do not exist here
    os.dup2(2, 1)
    sender.send(function())


def _describe_exit(code: int) -> str:
    if code < 0:
        return f"ends the process by signal {-code} ({signal.Signals(-code).name})"
    return f"ends the process with exit code {code}"
