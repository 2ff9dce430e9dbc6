"""Contenders that do the same work take turns, so that a busy machine is unfair to none."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Result = TypeVar("Result")


def race(
    contenders: Mapping[str, Callable[[], Result]], *, rounds: int, check: Callable[[str, Result], None]
) -> dict[str, list[float]]:
    """Seconds of each contender, round by round, after one that is not counted: there `check(name, result)` is."""
    for name, run in contenders.items():
        check(name, run())
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            gc.collect()
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def report(seconds: Mapping[str, list[float]], *, units: int, unit: str) -> None:
    """Prints a line for each contender that did so many units a round; the ratios are over the first."""
    first = next(iter(seconds.values()))
    print(
        f"| contender | ms/{unit} median | min | max | ratio of medians | of minima |\n|---|---|---|---|---|---|"
    )
    for name, values in seconds.items():
        median, low, high = (1000 * pick(values) / units for pick in (statistics.median, min, max))
        ratio = statistics.median(values) / statistics.median(first)
        print(f"| {name} | {median:.3f} | {low:.3f} | {high:.3f} | {ratio:.2f} | {min(values) / min(first):.2f} |")
