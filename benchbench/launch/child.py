"""Calls functions in a child process, which can crash or exit without harm to this one."""

from __future__ import annotations

import os
import signal
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
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
    (result,) = call_each_in_child([function])
    if isinstance(result, ChildExitError):
        raise result
    return result


def call_each_in_child(functions: Sequence[Callable[[], T]]) -> Iterator[T | ChildExitError]:
    """Yield what each function returns in a copy of this process, in their order.

    All functions share one child process, so that it imports a library only once. If the process ends before a
    function returned, the error is yielded in place of a value, and another process does the functions after it.
    """
    remaining = deque(functions)
    while remaining:
        child, receiver = _start_child(tuple(remaining))
        try:
            while remaining:
                yield receiver.recv()
                remaining.popleft()
        except EOFError:
            child.join()
            remaining.popleft()
            yield ChildExitError(_describe_exit(child.exitcode or 0))
        finally:
            receiver.close()
            child.join()


def _start_child(functions: Sequence[Callable[[], T]]) -> tuple[BaseProcess, Connection]:
    """Return a process that calls the functions, and the connection on which it sends their results."""
    context = get_context("fork")  # a new interpreter would import torch again, which takes seconds
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send_results, args=(functions, sender))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of other threads; the child uses none of them
        child.start()
    sender.close()
    return child, receiver


def _send_results(functions: Sequence[Callable[[], T]], sender: Connection) -> None:
    torch.set_num_threads(1)  # the threads of the parent's pool do not exist here
    os.dup2(2, 1)
    for function in functions:
        sender.send(function())


def _describe_exit(code: int) -> str:
    if code < 0:
        return f"ends the process by signal {-code} ({signal.Signals(-code).name})"
    return f"ends the process with exit code {code}"
