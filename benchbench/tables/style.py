"""The look of a table in print: digits after the decimal point, and the cells in bold."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from benchbench.spec.table_specs import Bold
from benchbench.spec.value_names import Direction


@dataclass(frozen=True, kw_only=True)
class Style:
    """The look of a table."""

    decimals: int = 4
    """Digits after the decimal point."""
    best: frozenset[tuple[int, int]] = frozenset()
    """Numbers of row and column of the cells in bold."""


PLAIN = Style()


class Score(NamedTuple):
    """A cell that may be the best of its row or column."""

    row: int
    column: int
    value: float
    direction: Direction
    """The better values."""
    line: Hashable = None
    """The metric of the row; only cells of the same one are compared within a column."""


def style_of(scores: Iterable[Score], *, bold: Bold | None, decimals: int) -> Style:
    """Return a style in which the best of each row, or of each column, is bold.

    Values that are equal in print are equally good. A row or column in which fewer than two values are known, or
    all are equal, has no best value.
    """
    if bold is None:
        return Style(decimals=decimals)
    compared: dict[Hashable, list[Score]] = {}
    for score in scores:
        if not math.isnan(score.value):
            place = (score.row,) if bold == "row" else (score.column, score.line)
            compared.setdefault(place, []).append(score)
    best: set[tuple[int, int]] = set()
    for rivals in compared.values():
        best.update(_best_of(rivals, decimals))
    return Style(decimals=decimals, best=frozenset(best))


def _best_of(rivals: list[Score], decimals: int) -> Iterator[tuple[int, int]]:
    printed: Mapping[Score, float] = {score: round(score.value, decimals) for score in rivals}
    if len(set(printed.values())) < 2:
        return
    choose = min if rivals[0].direction == "lower" else max
    best = choose(printed.values())
    for score, value in printed.items():
        if value == best:
            yield score.row, score.column
