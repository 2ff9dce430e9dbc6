"""Contenders that do the same work take turns, so that a busy machine is unfair to none."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

Result = TypeVar("Result")


class Seconds(NamedTuple):
    """What a round took: by the clock, and of the processor, which says more where others use it as well."""

    clock: float
    processor: float


def race(
    contenders: Mapping[str, Callable[[], Result]], *, rounds: int, check: Callable[[str, Result], None]
) -> dict[str, list[Seconds]]:
    """Of each contender, round by round, after one that is not counted: there `check(name, result)` is."""
    for name, run in contenders.items():
        check(name, run())
    taken: dict[str, list[Seconds]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            gc.collect()
            clock, processor = time.perf_counter(), time.process_time()
            run()
            taken[name].append(Seconds(time.perf_counter() - clock, time.process_time() - processor))
    return taken


def report(taken: Mapping[str, list[Seconds]], *, units: int, unit: str) -> None:
    """Prints a line for each contender that did so many units a round; ratios are of medians, over the first."""
    medians = {name: Seconds(*map(statistics.median, zip(*each, strict=True))) for name, each in taken.items()}
    first = next(iter(medians.values()))
    print(f"| contender | ms/{unit} median | min | max | ratio | processor ms/{unit} | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name, (clock, processor) in medians.items():
        low, high = (1000 * pick(each.clock for each in taken[name]) / units for pick in (min, max))
        print(
            f"| {name} | {1000 * clock / units:.3f} | {low:.3f} | {high:.3f} | {clock / first.clock:.2f}"
            f" | {1000 * processor / units:.3f} | {processor / first.processor:.2f} |"
        )
