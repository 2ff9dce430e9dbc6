"""Comparisons of several models: p-values adjusted for all of them, ranks, and a test over datasets."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
import scipy

from benchbench.images.arrays import Floats
from benchbench.statistics.bootstrap import DRAWS
from benchbench.statistics.intervals import Unknown
from benchbench.statistics.paired import Comparison, PairTest, compare
from benchbench.statistics.panel import EQUAL_DIGITS, Panel
from benchbench.words import are, count

_FEWEST_DATASETS = 5
_FEWEST_MODELS = 3
Key = TypeVar("Key", bound=Hashable)
"""The name of a panel, such as its metric."""


def compare_all(
    panels: Mapping[Key, Panel],
    *,
    ropes: Mapping[Key, float],
    against: str | None = None,
    test_over_train: float | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[Key, list[Comparison]]:
    """Return, for each panel, the comparisons of every two models, the better mean first.

    With `against`, only comparisons with that model are made. A panel is one question, and its comparisons are one
    family: p-values are adjusted for the pairs of the panel, which are fixed before any result is known.
    """
    comparisons: dict[Key, list[Comparison]] = {}
    for key, panel in panels.items():
        of_panel = []
        for one, other in itertools.combinations(_by_mean(panel), 2):
            if against is None or against in (one, other):
                comparison = compare(
                    panel, one, other, rope=ropes[key], test_over_train=test_over_train, draws=draws, seed=seed
                )
                of_panel.append(comparison)
        comparisons[key] = adjust(of_panel)
    return comparisons


def adjust(comparisons: Sequence[Comparison], *, others: Sequence[PairTest] = ()) -> list[Comparison]:
    """Return the comparisons of a family with their p-values adjusted.

    `others` has the p-values of further pairs of the family. A pair without a p-value is not counted.
    """
    differ = [comparison.p for comparison in comparisons] + [other.p for other in others]
    equal = [comparison.p_equivalent for comparison in comparisons] + [other.p_equivalent for other in others]
    adjusted, adjusted_equal = _holm_known(differ), _holm_known(equal)
    result: list[Comparison] = []
    for place, comparison in enumerate(comparisons):
        line = replace(
            comparison, p_holm=adjusted[place], p_holm_equivalent=adjusted_equal[place], family_size=len(differ)
        )
        result.append(line)
    return result


def _holm_known(p_values: Sequence[float | Unknown]) -> list[float | Unknown]:
    """Return the p-values adjusted; unknown ones stay as they are."""
    known = [p for p in p_values if not isinstance(p, Unknown)]
    adjusted = iter(holm(known))
    return [p if isinstance(p, Unknown) else next(adjusted) for p in p_values]


def family_of(pairs: int, *, metric: str, dataset: str) -> str:
    """Return in words which comparisons the p-values are adjusted for."""
    named = "the pair" if pairs == 1 else f"the {pairs} pairs"
    return f"Holm over {count(pairs, 'comparison')}: {named} of models on {dataset} by {metric}"


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that the chance of any false rejection among them stays below the level.

    Source: Holm 1979.
    """
    if not values:
        return []
    order = np.argsort(values)
    factors = np.arange(len(values), 0, -1)  # the smallest p-value is multiplied by the number of all
    ascending = np.maximum.accumulate(np.asarray(values)[order] * factors)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(ascending, 1.0)
    return adjusted.tolist()


class RankInterval(NamedTuple):
    """The ranks that a model may have among all."""

    low: int
    """1 and the number of models shown to be better."""
    high: int
    """The number of models less those shown to be worse."""

    def __str__(self) -> str:
        if self.low == self.high:
            return str(self.low)
        return f"{self.low}-{self.high}"


def rank_intervals(models: Sequence[str], comparisons: Sequence[Comparison]) -> dict[str, RankInterval]:
    """Return the ranks that each model may have; all of them hold together with a probability of 95 %.

    A false rank needs a false claim about some pair, and the adjustment of p-values limits the chance of any.

    Source: Mohamad, van Zwet, Solari and Goeman 2021, doi:10.1111/biom.13365 (simultaneous ranks from all pairs).
    """
    better, worse = dict.fromkeys(models, 0), dict.fromkeys(models, 0)
    for comparison in comparisons:
        if comparison.is_decided:
            winner = comparison.better
            loser = comparison.second if winner == comparison.first else comparison.first
            better[loser] += 1
            worse[winner] += 1
    return {model: RankInterval(1 + better[model], len(models) - worse[model]) for model in models}


@dataclass(frozen=True, kw_only=True)
class Friedman:
    """The result of a test whether several models differ over several datasets."""

    p: float
    mean_ranks: tuple[float, ...]
    """Mean rank of each model over the datasets; 1 is best."""


def friedman(scores: Floats, *, is_lower_better: bool = False) -> Friedman | Unknown:
    """Return Friedman's test on scores (datasets, models), as improved by Iman and Davenport.

    Source: Iman and Davenport 1980; Demsar 2006, JMLR 7.
    """
    datasets, models = scores.shape
    if datasets < _FEWEST_DATASETS:
        return Unknown(f"{are(datasets, 'dataset')} too few; {_FEWEST_DATASETS} are the least")
    if models < _FEWEST_MODELS:
        return Unknown(f"{count(models, 'model')}: compare two models over datasets with the Wilcoxon test")
    losses = scores if is_lower_better else -scores
    towards_best = losses.round(EQUAL_DIGITS)
    ranks = scipy.stats.rankdata(towards_best, axis=1)
    mean_ranks = tuple(ranks.mean(0).tolist())
    if np.ptp(towards_best, axis=1).max() == 0:
        return Friedman(p=1.0, mean_ranks=mean_ranks)
    chi = float(scipy.stats.friedmanchisquare(*ranks.T).statistic)
    rest = datasets * (models - 1) - chi
    if rest <= 1e-9:  # all datasets have the same order
        return Friedman(p=0.0, mean_ranks=mean_ranks)
    f = (datasets - 1) * chi / rest
    p = float(scipy.stats.f.sf(f, models - 1, (models - 1) * (datasets - 1)))
    return Friedman(p=p, mean_ranks=mean_ranks)


def _by_mean(panel: Panel) -> list[str]:
    """Return the models from the best mean to the worst; equal ones by name."""
    losses = panel.means if panel.is_lower_better else -panel.means
    pairs = sorted(zip(losses.round(EQUAL_DIGITS).tolist(), panel.models, strict=True))
    return [model for _, model in pairs]
