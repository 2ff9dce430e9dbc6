"""The verdict of a comparison in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchbench.spec.metric_names import is_lower_better
from benchbench.statistics import Comparison, Unknown
from benchbench.words import count

_MOST_LABELS = 4  # in a headline


class Verdict(NamedTuple):
    """A statement about the leader of several models, and the comparison that supports it."""

    headline: str
    grounds: str
    """Difference, interval and tests of that comparison; empty for a single model."""

    def __str__(self) -> str:
        if self.grounds:
            return f"{self.headline}; {self.grounds}"
        return self.headline


def verdict(comparison: Comparison, *, metric: str, dataset: str, seeds: int) -> str:
    """Return which model is better, or that the two are not separable, with the evidence."""
    first, second = comparison.first, comparison.second
    if comparison.is_separable:
        better = comparison.better
        worse = second if better == first else first
        headline = f"{better} is better than {worse} on {dataset}"
    elif not comparison.better:
        headline = f"{first} and {second} are tied on {dataset}"
    else:
        headline = f"{first} and {second} are not separable on {dataset}"
    return f"{headline}: {grounds(comparison, metric=metric, seeds=seeds)}"


def board_verdict(
    labels: Sequence[str], comparisons: Sequence[Comparison], *, metric: str, dataset: str, seeds: int
) -> Verdict:
    """Return the verdict on the first of the labels, which are ordered from the best mean.

    `comparisons` has every pair, the better mean first.
    """
    leader, *others = labels
    if not others:
        return Verdict(f"{leader} is the only model on {dataset}, with nothing to compare it to", "")
    against = {comparison.second: comparison for comparison in comparisons if comparison.first == leader}
    tied = [label for label in others if not against[label].better]
    if tied:
        headline = _describe_tie([leader, *tied], others, comparisons, dataset)
        decisive = tied[0]
    else:
        unclear = [label for label in others if not against[label].is_separable]
        headline = _describe_leader(leader, others, unclear, dataset)
        decisive = (*unclear, *others)[0]
    evidence = grounds(against[decisive], metric=metric, seeds=seeds)
    if len(others) > 1:
        evidence = f"to {decisive}: {evidence}"
    return Verdict(headline, evidence)


def _describe_leader(leader: str, others: Sequence[str], unclear: Sequence[str], dataset: str) -> str:
    """Return the statement about the row with the best mean; `unclear` has those not separable from it."""
    if not unclear:
        return f"{leader} is better than {_join(others)} on {dataset}"
    if len(others) == 1:
        return f"{leader} and {unclear[0]} are not separable on {dataset}"
    return f"{leader} leads on {dataset} and is not separable from {_join(unclear)}"


def _describe_tie(
    leaders: Sequence[str], others: Sequence[str], comparisons: Sequence[Comparison], dataset: str
) -> str:
    """Return the statement about several rows with the best mean."""
    worse = [label for label in others if label not in leaders]
    names = _join(leaders)
    if len(leaders) == 2:
        names = " and ".join(leaders)
    if not worse:
        return f"{names} are tied on {dataset}"
    headline = f"{names} are tied for the first place on {dataset}"
    unclear = [label for label in worse if not _are_separable(leaders, label, comparisons)]
    if unclear:
        return f"{headline} and not separable from {_join(unclear)}"
    return f"{headline} and better than {_join(worse)}"


def _are_separable(leaders: Sequence[str], label: str, comparisons: Sequence[Comparison]) -> bool:
    """Return True if every leader is separable from the row of this label."""
    for comparison in comparisons:
        is_asked = comparison.first in leaders and comparison.second == label
        if is_asked and not comparison.is_separable:
            return False
    return True


def grounds(comparison: Comparison, *, metric: str, seeds: int) -> str:
    """Return difference, interval and tests, the data they are computed from, and the detectable difference."""
    parts = [
        f"{metric} {_signed(comparison.difference)}{_interval(comparison)}",
        f"p(Holm, {count(comparison.family_size, 'pair')}) {_probability(comparison.p_holm)}",
        f"p(folds) {_probability(comparison.p_folds)}",
        f"P(false claim) {_probability(comparison.false_claim)}",
    ]
    detectable = comparison.smallest_detectable
    if not comparison.is_separable and not isinstance(detectable, Unknown):
        parts.append(f"a difference of {detectable:.4f} would be detected with 80 % power")
    text = f"{', '.join(parts)}; {_basis(comparison, seeds)}"
    if is_lower_better(metric):
        text += "; lower is better"
    return text


def _join(labels: Sequence[str]) -> str:
    first = ", ".join(labels[:_MOST_LABELS])
    n_more = len(labels) - _MOST_LABELS
    if n_more > 0:
        return f"{first} and {n_more} more"
    return first


def _basis(comparison: Comparison, seeds: int) -> str:
    folds = count(comparison.folds, "fold")
    text = f"{count(comparison.n, 'patient')}, {folds} x {count(seeds, 'seed')}"
    if seeds == 1 and comparison.folds > 1:
        text += ", training noise estimated from folds only"
    return text


def _interval(comparison: Comparison) -> str:
    interval = comparison.interval
    if isinstance(interval, Unknown):
        return f" (no interval: {interval.reason})"
    return f" [{_signed(interval.low)}, {_signed(interval.high)}]"


def _signed(value: float) -> str:
    return f"{value:+.4f}"


def _probability(value: float | Unknown) -> str:
    if isinstance(value, Unknown):
        return f"unknown ({value.reason})"
    if value < 0.0001:
        return "< 0.0001"
    return f"= {value:.4f}"
