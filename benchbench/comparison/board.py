"""A board: the rows of a dataset that may be ranked against each other, and the statistics of their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from benchbench.comparison.case_scores import LeftOut, case_scores, keep_common_cases
from benchbench.comparison.controls import failed_controls
from benchbench.comparison.design import costs_of, test_over_train
from benchbench.comparison.verdict import Verdict, board_verdict, not_believed
from benchbench.spec.metric_names import is_lower_better, value_range
from benchbench.spec.protocol import EmptyPolicy
from benchbench.spec.statistics import delta_of
from benchbench.statistics import (
    DRAWS,
    EQUAL_DIGITS,
    Comparison,
    Interval,
    Panel,
    RankInterval,
    Unknown,
    compare_all,
    family_of,
    make_panel,
    mean_interval,
    rank_intervals,
)
from benchbench.tables.marks import contamination_of
from benchbench.tables.results import Results
from benchbench.tables.rows import Row, rows_of
from benchbench.tables.summaries import columns_of
from benchbench.words import count, natural_order

_MANY_PAIRS = 28  # those of eight models; a pair takes a tenth of a second


@dataclass(frozen=True, kw_only=True)
class Board:
    """Rows of the same dataset, split, metric, rule for empty masks and way of checkpoint selection."""

    dataset: str
    metric: str
    """The name of the metric's column, with the unit of a distance."""
    empty: EmptyPolicy
    """The rule for empty masks."""
    selects_on_test_set: bool
    """True where checkpoints were selected on the test set."""
    rows: Mapping[str, Row]
    """Label -> row, the best mean first."""
    panel: Panel
    """The scores of the rows, in the same order."""
    seeds: int
    """Seeds of the row with the fewest."""
    rope: float
    """The smallest difference that matters in practice, in the metric's own unit."""
    costs: Mapping[str, float]
    """Label -> billions of multiply-adds for a case, where they are known."""
    test_over_train: float
    """Ratio of tested to trained patients in one fold."""
    notes: tuple[str, ...]
    """Rows and cases that are left out, and why."""
    failed_controls: tuple[str, ...] = ()
    """Controls that failed on the dataset: reasons not to believe the verdict."""

    @property
    def means(self) -> Mapping[str, float]:
        """Label -> mean over all cases."""
        return dict(zip(self.panel.models, self.panel.means.tolist(), strict=True))

    @property
    def draws(self) -> int:
        """Draws of every bootstrap; fewer where there are many pairs."""
        n_rows = len(self.rows)
        n_pairs = n_rows * (n_rows - 1) // 2
        if n_pairs <= _MANY_PAIRS:
            return DRAWS
        return DRAWS // 5

    @cached_property
    def intervals(self) -> Mapping[str, Interval | Unknown]:
        """Label -> 95 % interval of the mean."""
        limits = value_range(self.metric)
        return {label: mean_interval(self.panel.of([label]), value_range=limits) for label in self.rows}

    @cached_property
    def comparisons(self) -> Sequence[Comparison]:
        """Every pair of rows, the better mean first; p-values are adjusted for all pairs."""
        comparisons = compare_all(
            {self.metric: self.panel},
            ropes={self.metric: self.rope},
            test_over_train=self.test_over_train,
            draws=self.draws,
        )
        return comparisons[self.metric]

    @property
    def family(self) -> str:
        """The comparisons that p-values are adjusted for, in words."""
        return family_of(len(self.comparisons), metric=self.metric, dataset=self.dataset)

    @cached_property
    def ranks(self) -> Mapping[str, RankInterval]:
        """Label -> the ranks that it may have; all intervals hold together with a probability of 95 %."""
        return rank_intervals(list(self.rows), self.comparisons)

    @property
    def verdict(self) -> Verdict:
        """The verdict on the first row; where a control failed, that nothing is to be believed."""
        verdict = board_verdict(
            list(self.rows),
            self.comparisons,
            metric=self.metric,
            dataset=self.dataset,
            seeds=self.seeds,
            costs=self.costs,
        )
        if self.failed_controls:
            return not_believed(verdict, self.failed_controls)
        return verdict


class _Basis(NamedTuple):
    """The properties that all rows of a board share."""

    metric: str
    empty: EmptyPolicy
    selects_on_test_set: bool
    data_digest: str
    split_digests: tuple[tuple[int, str], ...]
    """Fold and digest of its split."""


def boards(results: Results) -> Iterator[Board]:
    """Yield the boards of each dataset, in the order of the plan.

    A row with unfinished runs is on no board, because its mean is over fewer cases. A row whose weights saw
    patients of the dataset is on none either.
    """
    for dataset in results.manifest.datasets:
        rows_by_basis: dict[_Basis, list[Row]] = {}
        notes = []
        for row in rows_of(results, dataset):
            if not row.is_complete:
                notes.append(f"{row.label} has unfinished runs and is not ranked")
                continue
            if reason := contamination_of(results, row.group):
                notes.append(f"{row.label} is not ranked: its {reason}")
                continue
            basis = _basis_of(results, row)
            if basis is not None:
                rows_by_basis.setdefault(basis, []).append(row)
        for basis, rows in rows_by_basis.items():
            yield from _make_board(results, dataset, basis, rows, notes)


def _basis_of(results: Results, row: Row) -> _Basis | None:
    """Return the basis on which a row is compared; None for mixed data or without a single metric column."""
    records = row.records(results)
    splits = sorted({(record.fold, record.split_digest) for record in records})
    data = {record.data_digest for record in records}
    variant = row.group.variant
    first_metric = results.metrics(variant)[0]
    columns = columns_of(first_metric, results.cases_of(row.runs))
    n_folds = len({fold for fold, _ in splits})
    is_mixed = len(data) > 1 or len(splits) > n_folds
    if is_mixed or len(columns) != 1:
        return None
    return _Basis(
        metric=columns[0],
        empty=results.empty(variant),
        selects_on_test_set=results.selects_on_test_set(variant),
        data_digest=data.pop(),
        split_digests=tuple(splits),
    )


def panel_of(
    results: Results, rows: Sequence[Row], *, metric: str, empty: EmptyPolicy
) -> tuple[Panel | None, LeftOut]:
    """Return the scores of rows, and the numbers of cases that are left out because they are undefined.

    The panel is None if no case is defined for all rows.
    """
    scores = []
    for row in rows:
        cases = results.cases_of(row.runs)
        scores.append(case_scores(cases, metric=metric, empty=empty, model=row.label))
    common, left_out = keep_common_cases(pd.concat(scores, ignore_index=True))
    if common["value"].isna().all():
        return None, left_out
    return make_panel(common, is_lower_better=is_lower_better(metric)), left_out


def _make_board(
    results: Results, dataset: str, basis: _Basis, rows: Sequence[Row], notes: Sequence[str]
) -> Iterator[Board]:
    """Yield the board of these rows; none if no case is defined for all of them."""
    panel, left_out = panel_of(results, rows, metric=basis.metric, empty=basis.empty)
    if panel is None:
        return
    notes = [*notes, *_describe_left_out(left_out, basis.empty)]
    order = _order_of(panel)
    rows_by_label = {row.label: row for row in rows}
    first_records = [row.records(results)[0] for row in rows]
    ratios = [test_over_train(record, folds=panel.n_folds) for record in first_records]
    yield Board(
        dataset=dataset,
        metric=basis.metric,
        empty=basis.empty,
        selects_on_test_set=basis.selects_on_test_set,
        rows={label: rows_by_label[label] for label in order},
        panel=panel.of(order),
        seeds=min(row.n_seeds for row in rows),
        rope=delta_of(basis.metric, results.manifest.delta),
        costs=costs_of({row.label: row.records(results) for row in rows}),
        test_over_train=max(ratios),
        notes=tuple(notes),
        failed_controls=failed_controls(results, dataset),
    )


def _describe_left_out(left_out: LeftOut, empty: EmptyPolicy) -> Iterator[str]:
    """Yield a sentence for each kind of undefined cases."""
    rule = f"(rule for empty masks: {empty})"
    if left_out.undefined_for_some:
        yield f"{count(left_out.undefined_for_some, 'case')} left out: undefined for some rows only {rule}"
    if left_out.undefined_for_all:
        yield f"{count(left_out.undefined_for_all, 'case')} left out: undefined for every row {rule}"


def _order_of(panel: Panel) -> list[str]:
    """Return the labels from the best mean; equal means in the order of the labels."""
    sign = 1 if panel.is_lower_better else -1
    losses = dict(zip(panel.models, (sign * panel.means).round(EQUAL_DIGITS), strict=True))
    return sorted(losses, key=lambda label: (losses[label], natural_order(label)))
