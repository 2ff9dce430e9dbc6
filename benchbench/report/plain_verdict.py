"""The verdict of a board in one plain sentence or two, with the size of the gap instead of its statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchbench.comparison.board import Board
from benchbench.comparison.verdict import Kind, kind_of
from benchbench.report.figures.metric_text import format_value, metric_name, unit_of
from benchbench.spec.metric_names import is_beyond_range
from benchbench.statistics import EQUAL_DIGITS, Comparison, Unknown
from benchbench.words import count

_MOST_NAMES = 4
_KINDS: tuple[Kind, ...] = ("better", "undecided", "cheaper", "equivalent")


def plain_verdict(board: Board) -> str:
    """Return the verdict on the rows of a board in words that need no statistics.

    A gap that could not be shown is compared with the one that this number of patients would show.
    """
    if board.failed_controls:
        return f"Do not believe this result: {'; '.join(board.failed_controls)}."
    leader, *others = board.rows
    name, value = metric_name(board.metric), _value(board, board.means[leader])
    if not others:
        return (
            f"{leader} is the only ranked model on {board.dataset}: mean {name} {value} over {_patients(board)}."
        )
    against = {pair.second: pair for pair in board.comparisons if pair.first == leader}
    if len(others) == 1:
        return _pair(board, against[others[0]])
    parts = [f"{leader} has the best mean {name} on {board.dataset}: {value} over {_patients(board)}."]
    by_kind: dict[Kind, list[str]] = {}
    for label in others:
        by_kind.setdefault(kind_of(against[label], board.costs), []).append(label)
    parts += [_group(board, kind, by_kind[kind], against) for kind in _KINDS if kind in by_kind]
    return " ".join(parts)


def _pair(board: Board, pair: Comparison) -> str:
    """Return the sentence on two models."""
    first, second, place = pair.first, pair.second, board.dataset
    kind = kind_of(pair, board.costs)
    if kind == "better":
        better = pair.better
        worse = second if better == first else first
        values = f"{_value(board, board.means[better])} against {_value(board, board.means[worse])}"
        name = metric_name(board.metric)
        return f"{better} is better than {worse} on {place}: {name} {values}, over {_patients(board)}."
    if kind == "undecided":
        return f"{first} and {second} cannot be distinguished on {place}: {_gap(board, pair)}."
    text = f"{first} and {second} are equally good on {place}"
    if kind == "equivalent":
        return f"{text}: they differ by {_difference(board, pair)}, and by less than {pair.delta:g} for certain."
    cheaper, other = sorted((first, second), key=lambda label: board.costs[label])
    share = board.costs[cheaper] / board.costs[other]
    return (
        f"{cheaper} is as good as {other} on {place}, at most {pair.delta:g} worse, with"
        f" {share:.0%} of its multiply-adds."
    )


def _group(board: Board, kind: Kind, labels: Sequence[str], against: Mapping[str, Comparison]) -> str:
    """Return the sentence on the rows that the first one has the same relation to."""
    names = _join(labels)
    if kind == "better":
        return f"It is better than {names}."
    if kind == "equivalent":
        return f"It is as good as {names}, within {against[labels[0]].delta:g}."
    if kind == "cheaper":
        return f"It is at most {against[labels[0]].delta:g} better than the cheaper {names}."
    nearest = _gap(board, against[labels[0]])
    if len(labels) > 1:
        nearest = nearest.replace("they differ", f"{labels[0]} differs", 1)
    return f"It cannot be distinguished from {names}: {nearest}."


def _gap(board: Board, pair: Comparison) -> str:
    """Return the gap of a pair that is undecided, and the one that the same number of patients would show."""
    gap = f"they differ by {_difference(board, pair)}"
    if isinstance(pair.p, Unknown):
        return f"{gap}, and {pair.p.reason}"
    if isinstance(pair.smallest_detectable, Unknown):
        return f"{gap}, over {_patients(board)}"
    if is_beyond_range(board.metric, pair.smallest_detectable):
        return f"{gap}, and {_patients(board)} in {count(pair.folds, 'fold')} can show no gap at all"
    return f"{gap}, and {_patients(board)} would show a gap of {_value(board, pair.smallest_detectable)}"


def _difference(board: Board, pair: Comparison) -> str:
    name = metric_name(board.metric)
    if round(pair.difference, EQUAL_DIGITS) == 0:
        return f"nothing in {name}"
    return f"{_value(board, abs(pair.difference))} in {name}"


def _value(board: Board, value: float) -> str:
    unit = unit_of(board.metric)
    return f"{format_value(board.metric, value)}{f' {unit}' if unit else ''}"


def _patients(board: Board) -> str:
    return count(len(board.panel.patients), "patient")


def _join(labels: Sequence[str]) -> str:
    if len(labels) > _MOST_NAMES:
        first = ", ".join(labels[: _MOST_NAMES - 1])
        return f"{first} and {len(labels) - _MOST_NAMES + 1} others"
    *first_labels, last = labels
    return f"{', '.join(first_labels)} and {last}" if first_labels else last
