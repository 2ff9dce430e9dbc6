"""The score of every case under every row of a figure, and by which metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from benchbench.metric_names import is_lower_better
from benchbench.plan import RunKey
from benchbench.report.figures.rows import Row
from benchbench.tables import KEYS, Results, case_values, columns_of


class Measure(NamedTuple):
    """A metric as tables name it, with its rule for empty masks."""

    column: str
    empty: str

    @property
    def is_lower_better(self) -> bool:
        return is_lower_better(self.column)

    @property
    def unit(self) -> str:
        """mm, px or nothing."""
        return unit if (unit := self.column.rpartition("_")[2]) in {"mm", "px"} else ""

    @property
    def title(self) -> str:
        """As it is written on an axis."""
        name = self.column.removesuffix(f"_{self.unit}") if self.unit else self.column
        named = {"dice": "Dice", "iou": "IoU"}.get(name, name.upper() if name.startswith(("hd", "nsd")) else name)
        return f"{named} ({self.unit})" if self.unit else named

    def write(self, value: float) -> str:
        """A value with as many digits as say something."""
        return f"{value:.1f} {self.unit}" if self.unit else f"{value:.3f}"


def first_measure(results: Results, rows: Sequence[Row]) -> Measure:
    """The first metric of the first row; Dice where that is not known of every case of every row in one unit."""
    variant = rows[0].runs[0].variant
    cases = cases_of(results, [run for row in rows for run in row.runs])
    columns = columns_of(results.metrics(variant)[0], cases)
    return Measure(columns[0] if len(columns) == 1 else "dice", results.empty(variant))


def case_scores(results: Results, runs: Sequence[RunKey], measure: Measure) -> pd.Series:
    """Case -> its mean over regions, nan where one is undefined; over runs too, if several scored it."""
    cases = cases_of(results, runs)
    values = case_values(measure.column, cases, measure.empty, is_pooled=False)
    of_runs = pd.Series(values, index=cases.index).groupby([cases[name] for name in (*KEYS, "case")], sort=True)
    means = of_runs.agg(lambda regions: regions.mean(skipna=False))
    return means.groupby(level="case").agg(lambda scored: scored.mean(skipna=False))


def cases_of(results: Results, runs: Sequence[RunKey]) -> pd.DataFrame:
    """The counts and distances of some runs."""
    wanted = set(runs)
    keys = results.cases[KEYS].itertuples(index=False, name=None)
    return results.cases[[RunKey(*key) in wanted for key in keys]]
