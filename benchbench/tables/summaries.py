"""Means, medians and standard deviations of scores over cases, slices, regions and folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchbench.images.arrays import Floats, Integers
from benchbench.metrics.scores import Counts, distance, overlap
from benchbench.plan.run import GROUP, KEYS, Group, RunKey
from benchbench.spec.metric_names import columns_with_units, is_overlap
from benchbench.spec.protocol import EmptyPolicy
from benchbench.spec.table_specs import Aggregate
from benchbench.tables.marks import with_marks
from benchbench.tables.results import (
    Results,
    cached_table,
    groups_of,
    runs_of_group,
    table_of_rows,
    with_integers,
)

MEAN_REGION = "mean"
"""The region of a line that has the mean over regions."""
_COUNTS = list(Counts._fields)


@dataclass(frozen=True, kw_only=True)
class SummaryLine:
    """The numbers of one metric, aggregate and region; its fields are columns of `summary.csv`."""

    metric: str
    """The name of the metric, with the unit of a distance."""
    aggregate: Aggregate
    empty: EmptyPolicy
    """The rule for empty masks."""
    region: str
    """A region, or `mean` for the mean over regions."""
    n: int
    """Cases, or slices; each counted once, however many seeds scored it."""
    n_ref_empty: int
    """Cases whose reference is empty."""
    n_penalised: int
    """Values of cases in which only one of reference and prediction is empty."""
    n_nan: int
    """Values that are undefined under the rule for empty masks."""
    mean: float
    """Mean over all cases, or slices, of all folds and seeds."""
    median: float
    """The median in place of the mean; nan for `pooled`."""
    dice_pos: float
    """Mean Dice of the cases with a reference."""
    fold_mean: float
    """Mean over the values of the runs."""
    fold_sd: float
    """Standard deviation over the values of the runs, with n - 1."""


@dataclass(frozen=True, kw_only=True)
class _RegionRows:
    """The rows of one region of a table, with arrays and numbers that all metrics share."""

    region: str
    table: pd.DataFrame
    counts: Integers
    """(4, rows): tp, fp, fn, tn."""
    is_first_seed: NDArray[np.bool_]
    """(rows,): True for the first row of each case, or slice."""
    runs: Sequence[Integers]
    """The row numbers of each run, by fold and seed."""
    _dice_pos: dict[EmptyPolicy, float] = field(default_factory=dict, repr=False)

    @cached_property
    def has_reference(self) -> NDArray[np.bool_]:
        tp, _, fn, _ = self.counts
        is_present: NDArray[np.bool_] = tp + fn > 0
        return is_present

    @cached_property
    def n(self) -> int:
        return int(self.is_first_seed.sum())

    @cached_property
    def n_ref_empty(self) -> int:
        return int((self.is_first_seed & ~self.has_reference).sum())

    @cached_property
    def n_penalised(self) -> int:
        tp, fp, _, _ = self.counts
        return int((self.has_reference != (tp + fp > 0)).sum())

    def dice_pos(self, empty: EmptyPolicy) -> float:
        """Return the mean Dice of the cases, or slices, with a reference."""
        if empty not in self._dice_pos:
            with_reference = Counts(*self.counts[:, self.has_reference])
            self._dice_pos[empty] = _mean(overlap("dice", with_reference, empty=empty))
        return self._dice_pos[empty]


class CountTables:
    """The counts of some runs, split by region when that is first needed."""

    def __init__(self, cases: pd.DataFrame, slices: pd.DataFrame | None) -> None:
        self.cases = cases
        self.slices = slices

    @cached_property
    def case_regions(self) -> list[_RegionRows]:
        return _split_by_region(self.cases)

    @cached_property
    def slice_regions(self) -> list[_RegionRows]:
        assert self.slices is not None, "the runs have no slices"
        return _split_by_region(self.slices)

    def regions_with(self, column: str) -> list[_RegionRows]:
        """Return the cases that have a distance; distances exist only for whole cases, and not for all of them."""
        is_known = self.cases[column].notna()
        if is_known.all():
            return self.case_regions
        return _split_by_region(self.cases[is_known])


class _RegionNumbers(NamedTuple):
    """The numbers of one region, or of the mean over regions."""

    region: str
    n: int
    n_ref_empty: int
    n_penalised: int
    n_nan: int
    mean: float
    median: float
    dice_pos: float
    run_values: Sequence[float]
    """The value of each run."""


@cached_table
def summary_lines(results: Results) -> dict[Group, list[SummaryLine]]:
    """Return the lines of each group, over its finished runs."""
    by_group: dict[Group, list[SummaryLine]] = {}
    for group in groups_of(results):
        _, done = runs_of_group(results, group)
        of_group = summaries(
            results.cases_of(done),
            results.slices_of(done),
            **results.rules(group.variant),
        )
        by_group[group] = list(of_group)
    return by_group


@cached_table
def summary_table(results: Results) -> pd.DataFrame:
    """Return one row per dataset, model, variant, region, metric and aggregate.

    Runs that diverged or failed are counted, but not averaged.
    """
    rows = []
    for group, lines in summary_lines(results).items():
        planned, done = runs_of_group(results, group)
        for line in lines:
            row = {**group._asdict(), **asdict(line)}
            rows.append({**row, "runs_done": len(done), "runs_planned": len(planned), "data": results.data})
    table = table_of_rows(rows, [*GROUP, "data"])
    return with_marks(results, with_integers(table))


@cached_table
def unmeasured(results: Results) -> dict[str, int]:
    """Return the distances that a variant asks for and the number of recorded runs without them."""
    missing: dict[str, int] = {}
    for names, cases in results.cases.groupby(KEYS, sort=True):
        key = RunKey(*names)
        for metric in results.metrics(key.variant):
            if not columns_of(metric, cases):
                missing[metric] = missing.get(metric, 0) + 1
    return missing


def summaries(
    cases: pd.DataFrame, slices: pd.DataFrame | None, *, metrics: Sequence[str], empty: EmptyPolicy
) -> Iterator[SummaryLine]:
    """Yield, for every metric and aggregate, the line of the mean over regions and then that of each region."""
    yield from summaries_of(CountTables(cases, slices), metrics=metrics, empty=empty)


def summaries_of(tables: CountTables, *, metrics: Sequence[str], empty: EmptyPolicy) -> Iterator[SummaryLine]:
    """Yield the lines of `summaries` for tables that several calls share."""
    cases = tables.cases
    if cases.empty:
        return
    for metric in metrics:
        for column in columns_of(metric, cases):
            if not is_overlap(column):
                yield from _aggregate(column, "case", tables.regions_with(column), empty)
                continue
            yield from _aggregate(column, "case", tables.case_regions, empty)
            if tables.slices is not None:
                yield from _aggregate(column, "slice", tables.slice_regions, empty)
            yield from _aggregate(column, "pooled", tables.case_regions, empty)


def columns_of(metric: str, cases: pd.DataFrame) -> list[str]:
    """Return the columns that a metric has in a table of cases: for a distance, one for each unit.

    The list is empty if the metric is unknown for some cases: a mean over the others would not be comparable.
    """
    if is_overlap(metric):
        return [metric]
    measured: list[str] = []
    is_known = np.zeros(len(cases), dtype=np.bool_)
    for name in columns_with_units(metric):
        if name in cases and cases[name].notna().any():
            measured.append(name)
            is_known |= cases[name].notna().to_numpy()
    if not is_known.all():
        return []
    return measured


def case_values(metric: str, cases: pd.DataFrame, empty: EmptyPolicy) -> Floats:
    """Return the score of each row of a table of counts."""
    return _values_of(metric, cases, Counts(*cases[_COUNTS].to_numpy().T), empty)


def _values_of(metric: str, cases: pd.DataFrame, counts: Counts, empty: EmptyPolicy) -> Floats:
    if is_overlap(metric):
        return overlap(metric, counts, empty=empty)
    return distance(metric, cases[metric], counts, empty=empty)


def _split_by_region(table: pd.DataFrame) -> list[_RegionRows]:
    identity = [name for name in ("case", "slice") if name in table]
    run_of_row, n_runs = _number_runs(table)
    region_of_row, names = pd.factorize(table["region"])
    regions = []
    for number, name in enumerate(names):
        is_of_region = region_of_row == number
        part = table if is_of_region.all() else table[is_of_region]
        runs = run_of_row[is_of_region]
        rows = _RegionRows(
            region=str(name),
            table=part,
            counts=part[_COUNTS].to_numpy().T,
            is_first_seed=~part[identity].duplicated().to_numpy(),
            # a run without a case in which the region is labelled has no rows of it
            runs=[np.flatnonzero(runs == run) for run in range(n_runs)],
        )
        regions.append(rows)
    return regions


def _number_runs(table: pd.DataFrame) -> tuple[Integers, int]:
    """Return (rows,) the number of each row's run, in the order of fold and seed, and how many runs there are."""
    seeds, seed_of_row = np.unique(table["seed"].to_numpy(), return_inverse=True)
    runs, run_of_row = np.unique(table["fold"].to_numpy() * len(seeds) + seed_of_row, return_inverse=True)
    return run_of_row, len(runs)


def _aggregate(
    metric: str, aggregate: Aggregate, regions: Sequence[_RegionRows], empty: EmptyPolicy
) -> Iterator[SummaryLine]:
    """Yield the line of the mean over regions, then that of each region."""
    of_regions = [_region_numbers(metric, rows, empty, is_pooled=aggregate == "pooled") for rows in regions]
    for numbers in (_mean_over_regions(of_regions, n=_count_scored(regions)), *of_regions):
        fields = numbers._asdict()
        run_values = _known(np.array(fields.pop("run_values")))
        fold_sd = np.nan
        if len(run_values) > 1:
            fold_sd = float(run_values.std(ddof=1))
        yield SummaryLine(
            metric=metric,
            aggregate=aggregate,
            empty=empty,
            **fields,
            fold_mean=_mean(run_values),
            fold_sd=fold_sd,
        )


def _count_scored(regions: Sequence[_RegionRows]) -> int:
    """Return the number of cases, or slices, in which at least one region is labelled."""
    first, *others = regions
    if all(len(rows.table) == len(first.table) for rows in others):
        return int(first.is_first_seed.sum())
    identity = [name for name in ("case", "slice") if name in first.table]
    return len(pd.concat([rows.table[identity] for rows in regions]).drop_duplicates())


def _region_numbers(metric: str, rows: _RegionRows, empty: EmptyPolicy, *, is_pooled: bool) -> _RegionNumbers:
    median = np.nan
    if is_pooled:
        values = _pooled_value(metric, rows.counts, empty)
        of_runs = [_pooled_value(metric, rows.counts[:, run], empty) for run in rows.runs]
    else:
        values = _values_of(metric, rows.table, Counts(*rows.counts), empty)
        of_runs = [values[run] for run in rows.runs]
        median = _median(values)
    return _RegionNumbers(
        region=rows.region,
        n=rows.n,
        n_ref_empty=rows.n_ref_empty,
        n_penalised=rows.n_penalised,
        n_nan=int(np.isnan(values).sum()),
        mean=_mean(values),
        median=median,
        dice_pos=rows.dice_pos(empty),
        run_values=[_mean(of_run) for of_run in of_runs],
    )


def _pooled_value(metric: str, counts: Integers, empty: EmptyPolicy) -> Floats:
    """Return the one score of the sum of all counts (4, rows); nan without rows."""
    if not counts.shape[1]:
        return np.full(1, np.nan)
    return overlap(metric, Counts(*counts.sum(axis=1, keepdims=True)), empty=empty)


def _mean_over_regions(regions: Sequence[_RegionNumbers], *, n: int) -> _RegionNumbers:
    """Return the unweighted mean over regions, nan if a region has no value; the counts of cases are summed."""
    return _RegionNumbers(
        region=MEAN_REGION,
        n=n,
        n_ref_empty=sum(numbers.n_ref_empty for numbers in regions),
        n_penalised=sum(numbers.n_penalised for numbers in regions),
        n_nan=sum(numbers.n_nan for numbers in regions),
        mean=float(np.mean([numbers.mean for numbers in regions])),
        median=float(np.mean([numbers.median for numbers in regions])),
        dice_pos=float(np.mean([numbers.dice_pos for numbers in regions])),
        run_values=np.mean([numbers.run_values for numbers in regions], axis=0).tolist(),
    )


def _known(values: Floats) -> Floats:
    return values[~np.isnan(values)]


def _mean(values: Floats) -> float:
    known = _known(values)
    if len(known):
        return float(known.mean())
    return np.nan


def _median(values: Floats) -> float:
    known = _known(values)
    if len(known):
        return float(np.median(known))
    return np.nan
