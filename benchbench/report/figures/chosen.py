"""Which cases a gallery shows: by rule from their scores, never by eye."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

MOST_DISPUTED = "most disputed"


class Chosen(NamedTuple):
    """A case, and the rule that it was chosen by."""

    rule: str
    case: str


def choose(scores: pd.DataFrame, *, is_lower_better: bool, with_reference: Container[str]) -> list[Chosen]:
    """The best, median, worst and most disputed of scores (cases, models); fewer where there are fewer cases.

    Best and worst are by the mean over models, the most disputed has the widest range over models. A case stands
    under one rule, then the next one takes its place. The best is one with a reference, if any is: to find nothing
    where nothing is would be a picture of nothing.
    """
    mean, spread = scores.mean(axis=1), scores.max(axis=1) - scores.min(axis=1)
    from_best = _ordered(mean if is_lower_better else -mean)
    middle = (len(from_best) - 1) / 2
    by_rule = {
        "best": sorted(from_best, key=lambda case: case not in with_reference),
        "worst": from_best[::-1],
        "median": [from_best[at] for at in _ordered(pd.Series(np.abs(np.arange(len(from_best)) - middle)))],
        MOST_DISPUTED: _ordered(-spread[spread > 0]),
    }
    taken: dict[str, str] = {}
    for rule, candidates in by_rule.items():
        if free := [case for case in candidates if case not in taken.values()]:
            taken[rule] = free[0]
    return [Chosen(rule, taken[rule]) for rule in ("best", "median", "worst", MOST_DISPUTED) if rule in taken]


def _ordered(values: pd.Series) -> list[Any]:
    """The index from the least value; equal ones by their names."""
    return [name for _, name in sorted(zip(values.tolist(), values.index, strict=True))]
