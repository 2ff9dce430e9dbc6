"""The scores by which models are compared: a value of each case, the mean over its regions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchbench.spec.protocol import EmptyPolicy
from benchbench.tables.summaries import case_values

KEYS = ["fold", "seed", "patient", "case"]


def scores_of(cases: pd.DataFrame, *, metric: str, empty: EmptyPolicy, model: str) -> pd.DataFrame:
    """A row for each case of each run, as `make_panel` takes them.

    A case that is undefined in one region is undefined: others have a mean of all regions.
    """
    found = case_values(metric, cases, empty, is_pooled=False)
    mean = cases[KEYS].assign(value=found).groupby(KEYS, sort=True)["value"].agg(_strict_mean)
    return mean.reset_index().assign(model=model)


def of_common_cases(scores: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The rows of cases that are defined for every model in every seed or for none, and how many cases are not."""
    defined = scores.assign(defined=scores["value"].notna()).groupby("case")["defined"]
    is_common = defined.all() | ~defined.any()
    return scores[scores["case"].map(is_common)], int((~is_common).sum())


def _strict_mean(values: pd.Series) -> float:
    return float(np.mean(values))
