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
from benchbench.statistics.panel import Panel

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

    With `against`, only comparisons with that model are made. The family of the adjusted p-values is all of them:
    panels times pairs, fixed before any result is known.
    """
    pairs: dict[Key, list[tuple[str, str]]] = {}
    for key, panel in panels.items():
        all_pairs = itertools.combinations(_by_mean(panel), 2)
        pairs[key] = [pair for pair in all_pairs if against is None or against in pair]
    return compare_pairs(panels, pairs, ropes=ropes, test_over_train=test_over_train, draws=draws, seed=seed)


def compare_pairs(
    panels: Mapping[Key, Panel],
    pairs: Mapping[Key, Sequence[tuple[str, str]]],
    *,
    ropes: Mapping[Key, float],
    test_over_train: float | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[Key, list[Comparison]]:
    """Return the comparisons of these pairs, first minus second; all of them are one family."""
    comparisons: dict[Key, list[Comparison]] = {}
    for key, panel in panels.items():
        comparisons[key] = []
        for one, other in pairs[key]:
            comparison = compare(
                panel, one, other, rope=ropes[key], test_over_train=test_over_train, draws=draws, seed=seed
            )
            comparisons[key].append(comparison)
    return _adjusted(comparisons)


def family_of(comparisons: Mapping[str, Sequence[Comparison]]) -> str:
    """Return in words which comparisons the p-values are adjusted for."""
    counts = [len(of_metric) for of_metric in comparisons.values()]
    pairs = max(counts, default=0)
    plural = "" if pairs == 1 else "s"
    metrics = ", ".join(comparisons)
    return f"Holm over {sum(counts)} comparisons: {pairs} pair{plural} of models by {metrics}"


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that the chance of any false rejection among them stays below the level.

    Source: Holm 1979.
    """
    if not values:
        return []
    from statsmodels.stats.multitest import multipletests  # noqa: PLC0415 takes a second, needed only here

    adjusted = multipletests(values, method="holm")[1]
    return [float(p) for p in adjusted]


def _adjusted(comparisons: Mapping[Key, list[Comparison]]) -> dict[Key, list[Comparison]]:
    """Return the comparisons with their p adjusted for all comparisons that have one."""
    all_comparisons = itertools.chain.from_iterable(comparisons.values())
    p_values = [comparison.p_wilcoxon for comparison in all_comparisons]
    adjusted = iter(holm([p for p in p_values if not isinstance(p, Unknown)]))
    result: dict[Key, list[Comparison]] = {}
    for key, of_metric in comparisons.items():
        result[key] = []
        for comparison in of_metric:
            p = comparison.p_wilcoxon
            p_holm = p if isinstance(p, Unknown) else next(adjusted)
            result[key].append(replace(comparison, p_holm=p_holm))
    return result


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
        return Unknown(f"{datasets} datasets are too few; {_FEWEST_DATASETS} are the least")
    if models < _FEWEST_MODELS:
        return Unknown(f"{models} models: compare two models over datasets with the Wilcoxon test")
    towards_best = scores if is_lower_better else -scores
    ranks = stats.rankdata(towards_best, axis=1)
    mean_ranks = tuple(ranks.mean(0).tolist())
    if np.ptp(scores, axis=1).max() == 0:
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
    means = panel.means if panel.is_lower_better else -panel.means
    pairs = sorted(zip(means.tolist(), panel.models, strict=True))
    return [model for _, model in pairs]
