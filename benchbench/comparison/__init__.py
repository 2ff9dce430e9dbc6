"""One model of a benchmark against another, or one results folder against another: a verdict and what differed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchbench.comparison.design import rope_of, test_over_train
from benchbench.comparison.recipes import Difference, differences
from benchbench.comparison.sides import Side, match
from benchbench.comparison.values import scores_of
from benchbench.comparison.verdict import verdict
from benchbench.errors import IncompatibleError, UsageError
from benchbench.spec.metric_names import is_lower_better
from benchbench.statistics import Comparison, Panel, compare_pairs, family_of, make_panel
from benchbench.tables.results import PHANTOM_NOTE
from benchbench.tables.summaries import columns_of

__all__ = ["Difference", "Outcome", "compare_results", "verdict"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of comparing two models on one dataset."""

    dataset: str
    first: str
    second: str
    comparisons: Mapping[str, Comparison]
    """By metric; the benchmark's first metric is first."""
    family: str
    """What the p-values are adjusted for."""
    seeds: int
    """Of each fold, the fewer of the two."""
    notes: tuple[str, ...]
    recipe: tuple[Difference, ...]

    @property
    def verdict(self) -> str:
        """The first metric's, in one line."""
        metric, comparison = next(iter(self.comparisons.items()))
        return verdict(comparison, metric=metric, dataset=self.dataset, seeds=self.seeds)


def compare_results(
    first: str, second: str, *, results: Path, metrics: Sequence[str] = (), dataset: str | None = None
) -> list[Outcome]:
    """Compares two models of the results folder, or two results folders model by model.

    A model is `name` or `name:variant`. All comparisons asked for are one family.

    Raises:
        UsageError: a model, folder or metric that is not there.
        IncompatibleError: the two did not see the same data in the same folds.
    """
    pairs = [pair for pair in match(first, second, results=results) if dataset in {None, pair[0].dataset}]
    if not pairs:
        raise UsageError(f"{first} and {second}: no dataset in common; compare models of the same datasets")
    panels: dict[tuple[int, str], Panel] = {}
    for number, (one, other) in enumerate(pairs):
        _check_same_data(one, other)
        for metric in metrics or one.results.metrics(one.variant):
            panels |= {(number, name): panel for name, panel in _panels(one, other, metric)}
    if not panels:
        raise UsageError(
            f"{first} and {second}: no metric measured for both; run `benchbench run` for what is missing"
        )
    return list(_outcomes(pairs, panels))


def _outcomes(pairs: Sequence[tuple[Side, Side]], panels: Mapping[tuple[int, str], Panel]) -> Iterator[Outcome]:
    shares = [test_over_train(one.records[0], folds=len(one.folds)) for one, _ in pairs]
    found = compare_pairs(
        panels,
        {key: [(pairs[key[0]][0].label, pairs[key[0]][1].label)] for key in panels},
        ropes={key: rope_of(key[1]) for key in panels},
        test_over_train=max(shares),
    )
    asked: dict[str, list[Comparison]] = {}
    for (number, name), many in found.items():
        asked.setdefault(f"{pairs[number][0].dataset} {name}", []).extend(many)
    family = family_of(asked)
    for number, (one, other) in enumerate(pairs):
        mine = {name: many[0] for (at, name), many in found.items() if at == number}
        if not mine:
            continue
        yield Outcome(
            dataset=one.dataset,
            first=one.label,
            second=other.label,
            comparisons=mine,
            family=family,
            seeds=min(len(one.seeds), len(other.seeds)),
            notes=tuple(_notes(one, other)),
            recipe=tuple(differences(one.records, other.records)),
        )


def _panels(one: Side, other: Side, metric: str) -> Iterator[tuple[str, Panel]]:
    names = columns_of(metric, one.cases)
    for name in (name for name in names if name in columns_of(metric, other.cases)):
        cases = pd.concat([_values(side, name, one) for side in (one, other)], ignore_index=True)
        yield name, make_panel(cases, is_lower_better=is_lower_better(name))


def _values(side: Side, name: str, ruling: Side) -> pd.DataFrame:
    """Of the folds in common, under the first side's rule for empty masks."""
    cases = side.cases[side.cases["fold"].isin(ruling.common)]
    return scores_of(cases, metric=name, empty=ruling.results.empty(ruling.variant), model=side.label)


def _check_same_data(one: Side, other: Side) -> None:
    if not one.common:
        raise IncompatibleError(
            f"{one.label} and {other.label} on {one.dataset}: no fold is done for both; run them"
        )
    optimistic = [side.label for side in (one, other) if side.results.is_optimistic(side.variant)]
    if len(optimistic) == 1:
        raise IncompatibleError(
            f"{one.label} and {other.label} on {one.dataset}: checkpoints of {optimistic[0]} were chosen on the"
            " cases scored; run both under one protocol.select_on"
        )
    for name in ("data_digest", "split_digest"):
        for fold in one.common:
            digests = {getattr(record, name) for side in (one, other) for record in side.of_fold(fold)}
            if len(digests) > 1:
                what = "the same files" if name == "data_digest" else "the same split"
                raise IncompatibleError(
                    f"{one.label} and {other.label} on {one.dataset}, fold {fold}: not of {what}"
                    f" ({', '.join(sorted(digest[:12] for digest in digests))}); run one of them again"
                )


def _notes(one: Side, other: Side) -> Iterator[str]:
    if one.results.manifest.phantom or other.results.manifest.phantom:
        yield PHANTOM_NOTE
    folds = set(one.folds) | set(other.folds)
    if len(one.common) < len(folds):
        yield f"{len(one.common)} of {len(folds)} folds are done for both; the others are left out of both"
    if one.seeds != other.seeds:
        yield f"seeds differ: {list(one.seeds)} and {list(other.seeds)}; each case counts with its mean over seeds"
    rules = [side.results.empty(side.variant) for side in (one, other)]
    if rules[0] != rules[1]:
        yield f"rules for empty masks differ: '{rules[0]}' is applied to both"
