"""Times contenders that do the same work. They take turns, so a busy machine slows all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

Result = TypeVar("Result")


class Seconds(NamedTuple):
    """The time of one round."""

    clock: float
    """Wall-clock time."""
    processor: float
    """Processor time, the better measure on a machine that other programs use as well."""


class Summary(NamedTuple):
    """The rounds of one contender."""

    median: Seconds
    fastest: float
    """Wall-clock seconds."""
    slowest: float
    """Wall-clock seconds."""


def race(
    contenders: Mapping[str, Callable[[], Result]], *, rounds: int, check: Callable[[str, Result], None]
) -> dict[str, list[Seconds]]:
    """Return the times of each contender, round by round.

    An additional first round is not timed; it calls `check(name, result)`.
    """
    for name, run in contenders.items():
        check(name, run())
    taken: dict[str, list[Seconds]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            gc.collect()
            clock = time.perf_counter()
            processor = time.process_time()
            run()
            seconds = Seconds(time.perf_counter() - clock, time.process_time() - processor)
            taken[name].append(seconds)
    return taken


def report(taken: Mapping[str, list[Seconds]], *, units: int, unit: str) -> None:
    """Print a table with a line for each contender; ratios are medians divided by the first contender's.

    `units` is how many units of work (images, cases, ...) a round consists of.
    """
    summaries = {name: _summarise(rounds) for name, rounds in taken.items()}
    first = next(iter(summaries.values())).median
    print(f"| contender | ms/{unit} median | min | max | ratio | processor ms/{unit} | ratio |")
    print("|---|---|---|---|---|---|---|")
    per_unit = 1000 / units
    for name, (median, fastest, slowest) in summaries.items():
        cells = [
            name,
            f"{per_unit * median.clock:.3f}",
            f"{per_unit * fastest:.3f}",
            f"{per_unit * slowest:.3f}",
            f"{median.clock / first.clock:.2f}",
            f"{per_unit * median.processor:.3f}",
            f"{median.processor / first.processor:.2f}",
        ]
        print(f"| {' | '.join(cells)} |")


def _summarise(rounds: Sequence[Seconds]) -> Summary:
    clocks = [seconds.clock for seconds in rounds]
    processors = [seconds.processor for seconds in rounds]
    median = Seconds(statistics.median(clocks), statistics.median(processors))
    return Summary(median, min(clocks), max(clocks))
