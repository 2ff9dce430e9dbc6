"""Threads that read the files of cases."""

from __future__ import annotations

import ast
import gc
import sys
from typing import TYPE_CHECKING

import pytest

from benchbench.threads import case_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4, 5), }"


class InACircle:
    """An object that only the collection of garbage removes, which then runs Python code."""

    def __init__(self) -> None:
        self.circle = self

    def __del__(self) -> None:
        sum(range(20))


@pytest.fixture
def frequent_changes_of_thread() -> Iterator[None]:
    """Collect garbage and change the thread so often that unguarded parsing fails in about 1 of 100 calls."""
    interval, thresholds, parse = sys.getswitchinterval(), gc.get_threshold(), ast.parse
    sys.setswitchinterval(1e-6)
    gc.set_threshold(20)
    yield
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)
    ast.parse = parse


@pytest.mark.usefixtures("frequent_changes_of_thread")
def test_threads_can_read_headers_of_numpy_files_at_the_same_time() -> None:
    def read(_: int) -> object:
        InACircle()
        return ast.literal_eval(HEADER)

    with case_threads(4) as pool:
        headers = list(pool.map(read, range(4000)))

    assert headers == [{"descr": "<f4", "fortran_order": False, "shape": (3, 4, 5)}] * 4000
