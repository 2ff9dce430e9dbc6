"""The scores by which models are compared: a value for each case, the mean over its regions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from benchbench.spec.protocol import EmptyPolicy
from benchbench.tables.summaries import case_values

_KEYS = ["fold", "seed", "patient", "case"]


def case_scores(cases: pd.DataFrame, *, metric: str, empty: EmptyPolicy, model: str) -> pd.DataFrame:
    """Return a row with the score of each case of each run, as `make_panel` expects them.

    A case that is undefined in one region is undefined as a whole: a mean over fewer regions would not be
    comparable to that of the other cases.
    """
    values = case_values(metric, cases, empty)
    by_case = cases[_KEYS].assign(value=values).groupby(_KEYS, sort=True)
    means = by_case["value"].agg(_strict_mean)
    return means.reset_index().assign(model=model)


class LeftOut(NamedTuple):
    """Numbers of cases that do not count in a comparison."""

    undefined_for_some: int
    undefined_for_all: int


def keep_common_cases(scores: pd.DataFrame) -> tuple[pd.DataFrame, LeftOut]:
    """Return the rows of cases defined for all models and seeds or for none, and the numbers of others."""
    defined = scores.assign(defined=scores["value"].notna()).groupby("case")["defined"]
    is_undefined = ~defined.any()
    is_common = defined.all() | is_undefined
    left_out = LeftOut(int((~is_common).sum()), int(is_undefined.sum()))
    return scores[scores["case"].map(is_common)], left_out


def _strict_mean(values: pd.Series) -> float:
    """Return the mean; nan if one value is nan."""
    return float(np.mean(values.to_numpy()))  # of a Series, NumPy's mean would leave nan out
