"""The choice of cases for a gallery: by rule from their scores, never by hand."""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

import numpy as np
import pandas as pd

MOST_DISPUTED = "most disputed"
_SHOWN_ORDER = ("best", "median", "worst", MOST_DISPUTED)


class ChosenCase(NamedTuple):
    """A case and the rule that chose it."""

    rule: str
    case: str


def choose_cases(
    scores: pd.DataFrame, *, is_lower_better: bool, with_reference: Container[str]
) -> list[ChosenCase]:
    """Return the best, median, worst and most disputed case of scores (cases, models); fewer if there are fewer.

    Best, median and worst are by the mean over models; the most disputed case has the widest range over models. A
    case is chosen by one rule only; the next rule then takes its next candidate. The best case has a reference if
    any case does, because a correct prediction of an empty reference shows nothing.
    """
    mean = scores.mean(axis=1)
    spread = scores.max(axis=1) - scores.min(axis=1)
    from_best = _sorted_index(mean if is_lower_better else -mean)
    candidates = {
        "best": sorted(from_best, key=lambda case: case not in with_reference),
        "worst": from_best[::-1],
        "median": _from_the_middle(from_best),
        MOST_DISPUTED: _sorted_index(-spread[spread > 0]),
    }
    chosen: dict[str, str] = {}
    for rule, cases in candidates.items():
        free = [case for case in cases if case not in chosen.values()]
        if free:
            chosen[rule] = free[0]
    return [ChosenCase(rule, chosen[rule]) for rule in _SHOWN_ORDER if rule in chosen]


def _from_the_middle(cases: list[str]) -> list[str]:
    """Return the cases by their distance from the middle of the list; of two equally far, the earlier first."""
    middle = (len(cases) - 1) / 2
    distance = np.abs(np.arange(len(cases)) - middle)
    return [cases[place] for place in np.argsort(distance, kind="stable")]


def _sorted_index(values: pd.Series) -> list[str]:
    """Return the index in the order of the values; equal values in the order of their names."""
    pairs = sorted(zip(values.tolist(), values.index, strict=True))
    return [name for _, name in pairs]
