"""Comparisons of several models: p-values adjusted for all of them, tiers, and a test over datasets."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy import stats

from benchbench.images.arrays import Floats
from benchbench.statistics.bootstrap import DRAWS
from benchbench.statistics.intervals import Unknown
from benchbench.statistics.paired import Comparison, compare
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


def adjust(comparisons: Sequence[Comparison], *, others: Sequence[float | Unknown] = ()) -> list[Comparison]:
    """Return the comparisons of a family with their p-values adjusted.

    `others` has the p-values of the signed-rank tests of further pairs of the family. A pair without a p-value
    is not counted.
    """
    p_values = [comparison.p_wilcoxon for comparison in comparisons] + list(others)
    known = [p for p in p_values if not isinstance(p, Unknown)]
    adjusted = iter(holm(known))
    result = []
    for comparison in comparisons:
        p = comparison.p_wilcoxon
        p_holm = p if isinstance(p, Unknown) else next(adjusted)
        result.append(replace(comparison, p_holm=p_holm, family_size=len(p_values)))
    return result


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
    from statsmodels.stats.multitest import multipletests  # noqa: PLC0415 takes a second, needed only here

    adjusted = multipletests(values, method="holm")[1]
    return [float(p) for p in adjusted]


def tiers(panel: Panel, comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Return model -> its places, such as 1-3, shared with the best model that it is not separable from."""
    separable = {
        frozenset((comparison.first, comparison.second)) for comparison in comparisons if comparison.is_separable
    }
    places: dict[str, str] = {}
    remaining = _by_mean(panel)
    while remaining:
        best = remaining[0]
        tier = [model for model in remaining if model == best or frozenset((best, model)) not in separable]
        first, last = len(places) + 1, len(places) + len(tier)
        label = str(first) if first == last else f"{first}-{last}"
        places |= dict.fromkeys(tier, label)
        remaining = [model for model in remaining if model not in tier]
    return places


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
    ranks = stats.rankdata(towards_best, axis=1)
    mean_ranks = tuple(ranks.mean(0).tolist())
    if np.ptp(towards_best, axis=1).max() == 0:
        return Friedman(p=1.0, mean_ranks=mean_ranks)
    chi = float(stats.friedmanchisquare(*ranks.T).statistic)
    rest = datasets * (models - 1) - chi
    if rest <= 1e-9:  # all datasets have the same order
        return Friedman(p=0.0, mean_ranks=mean_ranks)
    f = (datasets - 1) * chi / rest
    p = float(stats.f.sf(f, models - 1, (models - 1) * (datasets - 1)))
    return Friedman(p=p, mean_ranks=mean_ranks)


def _by_mean(panel: Panel) -> list[str]:
    """Return the models from the best mean to the worst; equal ones by name."""
    losses = panel.means if panel.is_lower_better else -panel.means
    pairs = sorted(zip(losses.round(EQUAL_DIGITS).tolist(), panel.models, strict=True))
    return [model for _, model in pairs]
