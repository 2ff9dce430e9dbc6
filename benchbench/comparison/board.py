"""The rows of a dataset that may be ranked against each other, and how far their order can be believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from benchbench.comparison.design import rope_of, test_over_train
from benchbench.comparison.values import of_common_cases, scores_of
from benchbench.comparison.verdict import Verdict, board_verdict
from benchbench.spec.metric_names import is_lower_better
from benchbench.spec.protocol import EmptyPolicy
from benchbench.statistics import (
    DRAWS,
    Comparison,
    Interval,
    Panel,
    RankStability,
    Unknown,
    compare_all,
    family_of,
    make_panel,
    mean_interval,
    rank_stability,
    tiers,
)
from benchbench.tables.results import Results, of_runs
from benchbench.tables.rows import Row, datasets, rows_of
from benchbench.tables.summaries import columns_of

_MANY_PAIRS = 28  # of eight models; a tenth of a second each


@dataclass(frozen=True, kw_only=True)
class Board:
    """Rows that share dataset, split, metric, rule for empty masks and practice of selection."""

    dataset: str
    metric: str
    """As a column has it, with the unit of a distance."""
    empty: EmptyPolicy
    is_optimistic: bool
    """Whether checkpoints were chosen on the cases that are scored."""
    rows: Mapping[str, Row]
    """By label, the best mean first."""
    panel: Panel
    """Of the labels, in the same order."""
    seeds: int
    """Of the row that has the fewest."""
    test_over_train: float
    """Patients tested over patients trained on, in one fold."""
    notes: tuple[str, ...]

    @property
    def means(self) -> Mapping[str, float]:
        """Over all cases."""
        return dict(zip(self.panel.models, self.panel.means.tolist(), strict=True))

    @property
    def rope(self) -> float:
        """What difference does not matter."""
        return rope_of(self.metric)

    @property
    def draws(self) -> int:
        """Of every bootstrap; fewer where there are many pairs."""
        count = len(self.rows)
        return DRAWS if count * (count - 1) // 2 <= _MANY_PAIRS else DRAWS // 5

    @cached_property
    def intervals(self) -> Mapping[str, Interval | Unknown]:
        """Of each mean."""
        return {label: mean_interval(self.panel.of([label])) for label in self.rows}

    @cached_property
    def comparisons(self) -> Sequence[Comparison]:
        """Of every two rows, the better mean first; p-values are adjusted for all of them."""
        found = compare_all(
            {self.metric: self.panel},
            ropes={self.metric: self.rope},
            test_over_train=self.test_over_train,
            draws=self.draws,
        )
        return found[self.metric]

    @property
    def family(self) -> str:
        """What the p-values are adjusted for."""
        return family_of({self.metric: self.comparisons})

    @cached_property
    def tiers(self) -> Mapping[str, str]:
        """Label -> its places, such as 1-3."""
        return tiers(self.panel, self.comparisons)

    @cached_property
    def stability(self) -> RankStability | Unknown:
        """Whether other folds and patients would have given the same order."""
        return rank_stability(self.panel)

    @property
    def verdict(self) -> Verdict:
        """What can be said of the first place."""
        return board_verdict(
            list(self.rows), self.comparisons, metric=self.metric, dataset=self.dataset, seeds=self.seeds
        )


def boards(results: Results) -> Iterator[Board]:
    """A board for all rows that may be compared; in the order of the plan, by dataset.

    A row with a run still to do is on none: its mean is of other cases.
    """
    for dataset in datasets(results):
        rows = rows_of(results, dataset)
        waiting = tuple(f"{row.label} has runs still to do and no place" for row in rows if not row.is_complete)
        comparable: dict[tuple[object, ...], list[Row]] = {}
        for row in filter(lambda row: row.is_complete, rows):
            if (rule := _rule(results, row)) is not None:
                comparable.setdefault(rule, []).append(row)
        for alike in comparable.values():
            yield from _board(results, dataset, alike, waiting)


def _rule(results: Results, row: Row) -> tuple[object, ...] | None:
    """What rows must share; None for one without a single metric to be ordered by, or of mixed data."""
    records = row.records(results)
    splits = {(record.fold, record.split_digest) for record in records}
    data = {record.data_digest for record in records}
    metric = _metric(results, row)
    if metric is None or len(data) > 1 or len(splits) > len({fold for fold, _ in splits}):
        return None
    variant = row.group.variant
    return metric, results.empty(variant), results.is_optimistic(variant), *sorted(splits), *data


def _metric(results: Results, row: Row) -> str | None:
    names = columns_of(results.metrics(row.group.variant)[0], of_runs(results.cases, row.runs))
    return names[0] if len(names) == 1 else None


def _board(results: Results, dataset: str, rows: Sequence[Row], notes: tuple[str, ...]) -> Iterator[Board]:
    metric, empty = str(_metric(results, rows[0])), results.empty(rows[0].group.variant)
    scores = [
        scores_of(of_runs(results.cases, row.runs), metric=metric, empty=empty, model=row.label) for row in rows
    ]
    common, lost = of_common_cases(pd.concat(scores, ignore_index=True))
    if common["value"].isna().all():
        return
    if lost:
        notes = (*notes, f"{lost} cases are left out that are undefined for some rows only (empty: {empty})")
    panel = make_panel(common, is_lower_better=is_lower_better(metric))
    order = sorted(panel.models, key=lambda label: (_towards_best(panel, label), label))
    by_label = {row.label: row for row in rows}
    yield Board(
        dataset=dataset,
        metric=metric,
        empty=empty,
        is_optimistic=results.is_optimistic(rows[0].group.variant),
        rows={label: by_label[label] for label in order},
        panel=panel.of(order),
        seeds=min(len({key.seed for key in row.runs}) for row in rows),
        test_over_train=max(test_over_train(row.records(results)[0], folds=panel.n_folds) for row in rows),
        notes=notes,
    )


def _towards_best(panel: Panel, label: str) -> float:
    mean = float(panel.means[panel.models.index(label)])
    return mean if panel.is_lower_better else -mean
