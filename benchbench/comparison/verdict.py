"""What a comparison comes to, in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchbench.spec.metric_names import is_lower_better
from benchbench.statistics import Comparison, Unknown


def verdict(found: Comparison, *, metric: str, dataset: str, seeds: int) -> str:
    """Which model is better, or that the two cannot be told apart, with what a reader needs to doubt it."""
    if found.is_separable:
        worse = found.second if found.better == found.first else found.first
        head = f"{found.better} is better than {worse} on {dataset}"
    else:
        head = f"{found.first} and {found.second} are not separable on {dataset}"
    return f"{head}: {grounds(found, metric=metric, seeds=seeds)}"


def grounds(found: Comparison, *, metric: str, seeds: int) -> str:
    """Difference, interval and tests, on what they rest, and what could have been found."""
    shown = [f"{metric} {_signed(found.difference)}{_interval(found)}", f"p(Holm) {_number(found.p_holm)}"]
    shown += [f"p(folds) {_number(found.p_folds)}", f"P(false claim) {_number(found.false_claim)}"]
    if not found.is_separable and not isinstance(found.smallest_detectable, Unknown):
        shown.append(f"a difference of {found.smallest_detectable:.4f} would be found four times in five")
    return f"{', '.join(shown)}; {_basis(found, seeds)}{_direction(metric)}"


class Verdict(NamedTuple):
    """What can be said of the first of several models, and the comparison that decides it."""

    headline: str
    grounds: str

    def __str__(self) -> str:
        return f"{self.headline}; {self.grounds}" if self.grounds else self.headline


def board_verdict(
    labels: Sequence[str], comparisons: Sequence[Comparison], *, metric: str, dataset: str, seeds: int
) -> Verdict:
    """Of models from the best, and the comparisons of every two."""
    if len(labels) == 1:
        return Verdict(f"{labels[0]} is alone on {dataset}: nothing to compare it with", "")
    leader, *others = labels
    against = {each.second: each for each in comparisons if each.first == leader}
    unclear = [label for label in others if not against[label].is_separable]
    decisive = against[(unclear or others)[0]]
    if not unclear:
        headline = f"{leader} is better than {_listed(others)} on {dataset}"
    elif len(unclear) == len(others) == 1:
        headline = f"{leader} and {unclear[0]} are not separable on {dataset}"
    else:
        headline = f"{leader} leads on {dataset} and is not separable from {_listed(unclear)}"
    between = f"to {decisive.second}: " if len(others) > 1 else ""
    return Verdict(headline, f"{between}{grounds(decisive, metric=metric, seeds=seeds)}")


def _listed(labels: Sequence[str]) -> str:
    most = 4
    return (
        ", ".join(labels) if len(labels) <= most else f"{', '.join(labels[:most])} and {len(labels) - most} more"
    )


def _basis(found: Comparison, seeds: int) -> str:
    folds = f"{found.folds} fold{'s' * (found.folds != 1)} x {seeds} seed{'s' * (seeds != 1)}"
    noise = ", training noise estimated from folds only" if seeds == 1 and found.folds > 1 else ""
    return f"{found.n} patients, {folds}{noise}"


def _direction(metric: str) -> str:
    return "; less is better" if is_lower_better(metric) else ""


def _interval(found: Comparison) -> str:
    if isinstance(found.interval, Unknown):
        return f" (no interval: {found.interval.reason})"
    return f" [{_signed(found.interval.low)}, {_signed(found.interval.high)}]"


def _signed(value: float) -> str:
    return f"{value:+.4f}"


def _number(value: float | Unknown) -> str:
    if isinstance(value, Unknown):
        return f"unknown ({value.reason})"
    return "< 0.0001" if value < 0.0001 else f"= {value:.4f}"
