"""Threads that read and decode the files of cases."""

from __future__ import annotations

import ast
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_parsing = threading.RLock()
_parse_of_python = ast.parse


def case_threads(
    threads: int, initializer: Callable[..., None] | None = None, initargs: tuple[Any, ...] = ()
) -> ThreadPoolExecutor:
    """Return a pool of threads in which the reader of any file format may be called.

    From the first pool on, calls of `ast.parse` wait for each other. Python 3.11 counts the depth of a syntax tree
    in one place for all threads: two threads that parse at the same time can end in `SystemError: AST constructor
    recursion depth mismatch`. `numpy.load` parses the header of each file, in this project and in plugins.

    Source: the report of this error, github.com/python/cpython/issues/106905.
    """
    ast.parse = _parse_alone
    return ThreadPoolExecutor(threads, initializer=initializer, initargs=initargs)


def _parse_alone(*arguments: Any, **options: Any) -> Any:
    with _parsing:
        return _parse_of_python(*arguments, **options)
