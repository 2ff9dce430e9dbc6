"""Comparison of two models of a benchmark, or of two results folders: a verdict, and what differed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchbench.comparison.case_scores import case_scores
from benchbench.comparison.design import costs_of, test_over_train
from benchbench.comparison.other_pairs import OtherPairs
from benchbench.comparison.recipes import Difference, differences
from benchbench.comparison.sides import Pair, Side, match_sides
from benchbench.comparison.verdict import verdict
from benchbench.errors import IncompatibleError, UsageError
from benchbench.plan.settings import changed_settings
from benchbench.records.record import Record
from benchbench.spec.metric_names import is_lower_better
from benchbench.spec.statistics import delta_of
from benchbench.statistics import Comparison, PairTest, Panel, adjust, compare, family_of, make_panel
from benchbench.tables.absent_regions import absent_region_notes
from benchbench.tables.marks import contamination_of
from benchbench.tables.summaries import columns_of
from benchbench.words import are

__all__ = ["Difference", "Outcome", "compare_results", "verdict"]

PanelKey = tuple[int, str]
"""Number of a pair, and the column of a metric."""
Question = tuple[str, str, int]
"""A dataset, the column of a metric, and the number of a pair that is on a board; -1 for those that are not."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of comparing two models on one dataset."""

    dataset: str
    first: str
    second: str
    comparisons: Mapping[str, Comparison]
    """Metric -> comparison; the benchmark's first metric is first."""
    family: str
    """The comparisons that p-values are adjusted for, in words: one family for each metric."""
    seeds: int
    """Seeds of each fold; those of the side that has fewer."""
    notes: tuple[str, ...]
    costs: Mapping[str, float]
    """Model -> billions of multiply-adds for a case, where they are known."""
    recipe: tuple[Difference, ...]
    """Differences between the recipes of the two sides."""

    @property
    def verdict(self) -> str:
        """The verdict by the first metric, in one line."""
        metric, comparison = next(iter(self.comparisons.items()))
        return verdict(comparison, metric=metric, dataset=self.dataset, seeds=self.seeds, costs=self.costs)


def compare_results(
    first: str, second: str, *, results: Path, metrics: Sequence[str] = (), dataset: str | None = None
) -> list[Outcome]:
    """Compare two models of the results folder, or two results folders model by model.

    A model is `name` or `name:variant`. A metric on a dataset is one question with one family of comparisons: all
    pairs on the board of the two models, as on the benchmark's page; otherwise, all pairs of this call.

    Raises:
        UsageError: a model, folder or metric does not exist.
        IncompatibleError: the two sides did not use the same data in the same folds.
    """
    pairs = match_sides(first, second, results=results, dataset=dataset)
    if not pairs:
        raise UsageError(f"{first} and {second}: no dataset in common; compare models of the same datasets")
    panels: dict[PanelKey, Panel] = {}
    for number, (one, other) in enumerate(pairs):
        _check_same_data(one, other)
        for metric in metrics or one.results.metrics(one.variant):
            for column, panel in _panels(one, other, metric):
                panels[number, column] = panel
    if not panels:
        raise UsageError(
            f"{first} and {second}: no metric measured for both; run `benchbench run` for what is missing"
        )
    return list(_outcomes(pairs, panels))


def _outcomes(pairs: Sequence[Pair], panels: Mapping[PanelKey, Panel]) -> Iterator[Outcome]:
    comparisons = _compare(pairs, panels)
    by_pair: dict[int, dict[str, Comparison]] = {}
    for (number, column), comparison in comparisons.items():
        by_pair.setdefault(number, {})[column] = comparison
    for number, (one, other) in enumerate(pairs):
        if number in by_pair:
            yield Outcome(
                dataset=one.dataset,
                first=one.label,
                second=other.label,
                comparisons=by_pair[number],
                family=_describe_family(one.dataset, by_pair[number]),
                seeds=min(len(one.seeds), len(other.seeds)),
                notes=tuple(_notes(one, other)),
                costs=costs_of({one.label: one.records, other.label: other.records}),
                recipe=tuple(differences(one.records, other.records)),
            )


def _compare(pairs: Sequence[Pair], panels: Mapping[PanelKey, Panel]) -> dict[PanelKey, Comparison]:
    """Return the comparison of the two models of each panel, with p-values adjusted for the family of each."""
    ratios = []
    for one, _ in pairs:
        ratios.append(test_over_train(one.records[0], folds=len(one.folds)))
    families: dict[Question, dict[PanelKey, Comparison]] = {}
    others: dict[Question, list[PairTest]] = {}
    find_others = OtherPairs()
    for (number, column), panel in panels.items():
        one, other = pairs[number]
        comparison = compare(
            panel,
            one.label,
            other.label,
            rope=delta_of(column, one.results.manifest.delta),
            test_over_train=max(ratios),
        )
        p_values = find_others.p_values(one, other, column)
        # pairs that share no board are compared with each other only
        question = (one.dataset, column, -1 if p_values is None else number)
        families.setdefault(question, {})[number, column] = comparison
        others[question] = p_values or []
    adjusted: dict[PanelKey, Comparison] = {}
    for question, family in families.items():
        adjusted.update(zip(family, adjust(list(family.values()), others=others[question]), strict=True))
    return {key: adjusted[key] for key in panels}


def _describe_family(dataset: str, comparisons: Mapping[str, Comparison]) -> str:
    """Return the family of each metric in words; metrics with as many pairs are named together."""
    metrics_of_size: dict[int, list[str]] = {}
    for metric, comparison in comparisons.items():
        metrics_of_size.setdefault(comparison.family_size, []).append(metric)
    families = []
    for size, metrics in metrics_of_size.items():
        names = metrics[0] if len(metrics) == 1 else f"each of {', '.join(metrics)}"
        families.append(family_of(size, metric=names, dataset=dataset))
    return "; ".join(families)


def _panels(one: Side, other: Side, metric: str) -> Iterator[tuple[str, Panel]]:
    """Yield a panel for each column of the metric that both sides have."""
    columns = columns_of(metric, other.cases)
    for column in columns_of(metric, one.cases):
        if column in columns:
            scores = [_scores(side, column, rules=one) for side in (one, other)]
            cases = pd.concat(scores, ignore_index=True)
            yield column, make_panel(cases, is_lower_better=is_lower_better(column))


def _scores(side: Side, column: str, *, rules: Side) -> pd.DataFrame:
    """Return the side's scores in the common folds, under the rule for empty masks of the side `rules`."""
    cases = side.cases[side.cases["fold"].isin(side.common_folds)]
    return case_scores(cases, metric=column, empty=rules.empty, model=side.label)


def _check_same_data(one: Side, other: Side) -> None:
    where = f"{one.label} and {other.label} on {one.dataset}"
    if not one.common_folds:
        raise IncompatibleError(f"{where}: no fold is done for both; run them")
    if one.selects_on_test_set != other.selects_on_test_set:
        side = one if one.selects_on_test_set else other
        raise IncompatibleError(
            f"{where}: checkpoints of {side.label} were selected on the test set; run both with the same"
            " protocol.select_on"
        )
    for fold in one.common_folds:
        records = one.records_of_fold(fold) + other.records_of_fold(fold)
        _check_same_digests(f"{where}, fold {fold}", records)


def _check_same_digests(where: str, records: Sequence[Record]) -> None:
    data = {record.data_digest for record in records}
    splits = {record.split_digest for record in records}
    for noun, digests in (("files", data), ("splits", splits)):
        if len(digests) > 1:
            short = ", ".join(sorted(digest[:12] for digest in digests))
            raise IncompatibleError(f"{where}: different {noun} (digests {short}); run one of them again")


def _notes(one: Side, other: Side) -> Iterator[str]:
    yield from dict.fromkeys(side.results.note for side in (one, other) if side.results.note)
    n_common = len(one.common_folds)
    n_folds = len(set(one.folds) | set(other.folds))
    if n_common < n_folds:
        yield f"{n_common} of {are(n_folds, 'fold')} done for both; only these are compared"
    if one.seeds != other.seeds:
        yield f"seeds differ: {list(one.seeds)} and {list(other.seeds)}; each case counts with its mean over seeds"
    if one.empty != other.empty:
        yield f"rules for empty masks differ; '{one.empty}' is applied to both"
    for side in (one, other):
        if origin := side.results.manifest.external.get(side.group.model):
            yield f"{side.label} is external: {origin}"
        if reason := contamination_of(side.results, side.group):
            yield f"{side.label} is not ranked: its {reason}"
        if text := changed_settings(side.results.manifest.own_text(side.variant, side.group.model)):
            yield f"{side.label} has settings of its own: {text}"
    yield from absent_region_notes(one.results, dataset=one.dataset)
