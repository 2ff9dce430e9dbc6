"""Several models at once: every comparison adjusted for all, and tiers of those that cannot be told apart."""

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
Asked = TypeVar("Asked", bound=Hashable)


def compare_all(
    panels: Mapping[Asked, Panel],
    *,
    ropes: Mapping[Asked, float],
    against: str | None = None,
    test_over_train: float | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[Asked, list[Comparison]]:
    """Metric (or what else tells panels apart) -> comparisons of every two models, the better mean first.

    With `against`, only those with that model. The family is all of them: panels times pairs, fixed by what is
    asked before anything is looked at.
    """
    pairs = {
        asked: [pair for pair in itertools.combinations(_by_mean(panel), 2) if against is None or against in pair]
        for asked, panel in panels.items()
    }
    return compare_pairs(panels, pairs, ropes=ropes, test_over_train=test_over_train, draws=draws, seed=seed)


def compare_pairs(
    panels: Mapping[Asked, Panel],
    pairs: Mapping[Asked, Sequence[tuple[str, str]]],
    *,
    ropes: Mapping[Asked, float],
    test_over_train: float | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[Asked, list[Comparison]]:
    """The comparisons of these pairs, first minus second, all of them one family."""
    found = {
        asked: [
            compare(panel, one, other, rope=ropes[asked], test_over_train=test_over_train, draws=draws, seed=seed)
            for one, other in pairs[asked]
        ]
        for asked, panel in panels.items()
    }
    return _adjusted(found)


def family_of(comparisons: Mapping[str, Sequence[Comparison]]) -> str:
    """Which comparisons the p-values are adjusted for, in words."""
    pairs = max((len(each) for each in comparisons.values()), default=0)
    metrics = ", ".join(comparisons)
    total = sum(len(each) for each in comparisons.values())
    return f"Holm over {total} comparisons: {pairs} pair{'s' * (pairs != 1)} of models by {metrics}"


def holm(values: Sequence[float]) -> list[float]:
    """p-values adjusted so that the chance of any false rejection among them stays below the level.

    Source: Holm 1979.
    """
    from statsmodels.stats.multitest import multipletests  # noqa: PLC0415 a second that other commands do not pay

    return [float(p) for p in multipletests(values, method="holm")[1]] if values else []


def tiers(panel: Panel, comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Model -> its places, such as 1-3: a model that cannot be told from the best of its tier shares it."""
    separable = {frozenset((each.first, each.second)) for each in comparisons if each.is_separable}
    shown: dict[str, str] = {}
    left, place = _by_mean(panel), 1
    while left:
        tier = [model for model in left if model == left[0] or frozenset((left[0], model)) not in separable]
        last = place + len(tier) - 1
        shown |= dict.fromkeys(tier, str(place) if last == place else f"{place}-{last}")
        left, place = [model for model in left if model not in tier], last + 1
    return shown


@dataclass(frozen=True, kw_only=True)
class Friedman:
    """Whether several models differ over several datasets."""

    p: float
    mean_ranks: tuple[float, ...]
    """Of each model, 1 is best."""


def friedman(scores: Floats, *, is_lower_better: bool = False) -> Friedman | Unknown:
    """The test of Friedman on (datasets, models), as improved by Iman and Davenport.

    Source: Iman and Davenport 1980; Demsar 2006, JMLR 7.
    """
    datasets, models = scores.shape
    if datasets < _FEWEST_DATASETS:
        return Unknown(f"{datasets} datasets are too few; {_FEWEST_DATASETS} are the least")
    if models < 3:
        return Unknown(f"{models} models: compare two models over datasets with the Wilcoxon test")
    ranks = stats.rankdata(scores if is_lower_better else -scores, axis=1)
    mean_ranks = tuple(ranks.mean(0).tolist())
    if np.ptp(scores, axis=1).max() == 0:
        return Friedman(p=1.0, mean_ranks=mean_ranks)
    chi = float(stats.friedmanchisquare(*ranks.T).statistic)
    rest = datasets * (models - 1) - chi
    freedom = (models - 1, (models - 1) * (datasets - 1))
    p = float(stats.f.sf((datasets - 1) * chi / rest, *freedom)) if rest > 1e-9 else 0.0
    return Friedman(p=p, mean_ranks=mean_ranks)


def _by_mean(panel: Panel) -> list[str]:
    """Models from the best mean; equal ones by name."""
    means = panel.means if panel.is_lower_better else -panel.means
    return [model for _, model in sorted(zip(means.tolist(), panel.models, strict=True))]


def _adjusted(found: Mapping[Asked, list[Comparison]]) -> dict[Asked, list[Comparison]]:
    known = [(metric, at, each.p_wilcoxon) for metric, many in found.items() for at, each in enumerate(many)]
    values = [p for _, _, p in known if not isinstance(p, Unknown)]
    adjusted = iter(holm(values))
    result = {metric: list(many) for metric, many in found.items()}
    for metric, at, p in known:
        result[metric][at] = replace(result[metric][at], p_holm=p if isinstance(p, Unknown) else next(adjusted))
    return result
