"""The verdict of a comparison in one line: better, equivalent, not worse and cheaper, or undecided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from benchbench.spec.metric_names import is_beyond_range, is_lower_better
from benchbench.statistics import Comparison, Unknown, needed_designs
from benchbench.words import count

_MOST_LABELS = 4  # in a headline
_CHEAPER = 0.9  # share of the multiply-adds of the other model
Kind = Literal["better", "equivalent", "cheaper", "undecided"]


class Verdict(NamedTuple):
    """A statement about the leader of several models, and the comparison that supports it."""

    headline: str
    grounds: str
    """Difference, interval and tests of that comparison; empty for a single model."""

    def __str__(self) -> str:
        if self.grounds:
            return f"{self.headline}; {self.grounds}"
        return self.headline


def not_believed(verdict: Verdict, failed: Sequence[str]) -> Verdict:
    """Return the verdict of a benchmark of which controls failed: its former text is only evidence."""
    return Verdict(f"Do not believe this: {'; '.join(failed)}", f"without this control: {verdict}")


def kind_of(comparison: Comparison, costs: Mapping[str, float]) -> Kind:
    """Return the verdict on a pair in one word; `costs` has the multiply-adds of models where they are known."""
    if comparison.is_decided:
        return "better"
    if comparison.is_equivalent:
        return "equivalent"
    if _cheaper(comparison, costs):
        return "cheaper"
    return "undecided"


def verdict(
    comparison: Comparison, *, metric: str, dataset: str, seeds: int, costs: Mapping[str, float] | None = None
) -> str:
    """Return the verdict on a pair, with the evidence."""
    return f"{_describe_pair(comparison, dataset, costs or {})}: {grounds(comparison, metric=metric, seeds=seeds)}"


def board_verdict(
    labels: Sequence[str],
    comparisons: Sequence[Comparison],
    *,
    metric: str,
    dataset: str,
    seeds: int,
    costs: Mapping[str, float] | None = None,
) -> Verdict:
    """Return the verdict on the first of the labels, which are ordered from the best mean.

    `comparisons` has every pair, the better mean first.
    """
    leader, *others = labels
    if not others:
        return Verdict(f"{leader} is the only model on {dataset}, with nothing to compare it to", "")
    against = {comparison.second: comparison for comparison in comparisons if comparison.first == leader}
    by_kind: dict[Kind, list[str]] = {}
    for label in others:
        by_kind.setdefault(kind_of(against[label], costs or {}), []).append(label)
    unclear = [*by_kind.get("undecided", []), *by_kind.get("cheaper", []), *by_kind.get("equivalent", [])]
    decisive = (*unclear, *others)[0]
    if len(others) == 1:
        headline = _describe_pair(against[decisive], dataset, costs or {})
    else:
        headline = _describe_leader(leader, by_kind, against, dataset)
    evidence = grounds(against[decisive], metric=metric, seeds=seeds)
    if len(others) > 1:
        evidence = f"to {decisive}: {evidence}"
    return Verdict(headline, evidence)


def _describe_pair(comparison: Comparison, dataset: str, costs: Mapping[str, float]) -> str:
    first, second = comparison.first, comparison.second
    kind = kind_of(comparison, costs)
    if kind == "better":
        better = comparison.better
        worse = second if better == first else first
        return f"{better} is better than {worse} on {dataset}"
    if kind == "equivalent":
        return f"{first} and {second} are equivalent within {comparison.delta:g} on {dataset}"
    if kind == "cheaper":
        cheaper = _cheaper(comparison, costs)
        other = second if cheaper == first else first
        return (
            f"{cheaper} is not worse than {other} by more than {comparison.delta:g} on {dataset}, and cheaper"
            f" ({costs[cheaper]:.3g} instead of {costs[other]:.3g} GMACs per case)"
        )
    return f"{first} and {second} on {dataset}: undecided: {missing(comparison)}"


def _describe_leader(
    leader: str, by_kind: Mapping[Kind, Sequence[str]], against: Mapping[str, Comparison], dataset: str
) -> str:
    """Return the statement about the row with the best mean of more than two."""
    if list(by_kind) == ["better"]:
        return f"{leader} is better than {_join(by_kind['better'])} on {dataset}"
    parts: list[str] = []
    for kind, labels in by_kind.items():
        delta = against[labels[0]].delta
        parts.append(_KINDS[kind].format(labels=_join(labels), delta=delta))
    text = f"{leader} has the best mean on {dataset}: {', '.join(parts)}"
    undecided = by_kind.get("undecided")
    if undecided:
        text += f" ({undecided[0]}: {missing(against[undecided[0]])})"
    return text


_KINDS: Mapping[Kind, str] = {
    "better": "better than {labels}",
    "equivalent": "equivalent within {delta:g} to {labels}",
    "cheaper": "better by at most {delta:g} than the cheaper {labels}",
    "undecided": "undecided against {labels}",
}


def _cheaper(comparison: Comparison, costs: Mapping[str, float]) -> str:
    """Return the model that costs less and is not worse by a difference that matters; '' if none is."""
    for model in comparison.not_worse:
        other = comparison.second if model == comparison.first else comparison.first
        if model in costs and other in costs and costs[model] <= _CHEAPER * costs[other]:
            return model
    return ""


def missing(comparison: Comparison) -> str:
    """Return what a decision needs: the numbers of patients, seeds or folds that would show the difference."""
    if isinstance(comparison.p, Unknown):
        return comparison.p.reason
    target = max(abs(comparison.difference), comparison.delta)
    options = list(_needs(comparison, target))
    have = f"{count(comparison.n, 'patient')} in {count(comparison.folds, 'fold')}"
    if not options:
        return f"{have}; no number of patients, seeds or folds alone would show a difference of {target:.2g}"
    needed = f"{', or '.join(options)}," if len(options) > 1 else options[0]
    return f"{have}; {needed} would show a difference of {target:.2g}"


def _needs(comparison: Comparison, target: float) -> Iterator[str]:
    designs = needed_designs(
        comparison.components,
        comparison.design,
        target,
        assumed_sd=comparison.noise.assumed_sd,
        comparisons=comparison.family_size,
    )
    for what, number in designs:
        if what == "patients":
            yield f"about {number} patients"
        else:
            more = number - getattr(comparison.design, what)
            noun = what.removesuffix("s")
            yield f"{more} more {noun}" if more == 1 else f"{more} more {what}"


def grounds(comparison: Comparison, *, metric: str, seeds: int) -> str:
    """Return difference, interval and tests, the data they come from, and the detectable difference."""
    if isinstance(comparison.p, Unknown):  # the headline has the reason
        difference = f"{metric} {_signed(comparison.difference)}, without interval and tests"
        return _with_direction(f"{difference}; {_basis(comparison, seeds)}", metric)
    parts = [
        f"{metric} {_signed(comparison.difference)}{_interval(comparison)}",
        f"p(Holm, {count(comparison.family_size, 'pair')}) {_probability(comparison.p_holm)}",
        f"p(equivalent within {comparison.delta:g}) {_probability(comparison.p_holm_equivalent)}",
    ]
    detectable = comparison.smallest_detectable
    if not comparison.is_decided and not isinstance(detectable, Unknown):
        if is_beyond_range(metric, detectable):
            parts.append("no difference would be detected with 80 % power")
        else:
            parts.append(f"a difference of {detectable:.4f} would be detected with 80 % power")
    return _with_direction(f"{', '.join(parts)}; {_basis(comparison, seeds)}", metric)


def _with_direction(text: str, metric: str) -> str:
    if is_lower_better(metric):
        return f"{text}; lower is better"
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
    if comparison.folds == 1:
        text += f", training noise assumed (SD {comparison.noise.assumed_sd:g})"
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
