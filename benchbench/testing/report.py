"""The result of a conformance check: the outcome of every rule and the faults of those that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from benchbench.errors import BenchbenchError

T = TypeVar("T")
State = Literal["passed", "failed", "skipped"]


class ConformanceError(BenchbenchError, AssertionError):
    """A plugin fails rules; the message has one line per fault."""


@dataclass(frozen=True)
class Rule(Generic[T]):
    """One requirement of a plugin."""

    name: str
    requirement: str
    """The requirement in a few words."""
    faults: Callable[[T], Iterable[str]]
    """Yields one line per fault (see `fault`), nothing if the rule is met."""
    is_prerequisite: bool = False
    """True if the rules after this one cannot be judged when it fails."""


class SkipRuleError(Exception):
    """Raised by a rule that does not apply to a plugin; its message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one rule."""

    rule: str
    where: str
    """The input that the rule was applied to: 2D, 3D, the plugin itself, a phantom or a data folder."""
    requirement: str
    state: State
    lines: tuple[str, ...] = ()
    """The faults of a failed rule, the reason of a skipped one; otherwise empty."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The outcomes of all rules for one plugin."""

    plugin: str
    outcomes: tuple[Outcome, ...]
    refused: tuple[str, ...] = ()
    """Messages of the inputs that a model refused with an IncompatibleError, which is allowed."""

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the failed rules, without duplicates."""
        names = [outcome.rule for outcome in self.outcomes if outcome.state == "failed"]
        return tuple(dict.fromkeys(names))

    def lines(self) -> Iterator[str]:
        """Yield one line per fault."""
        for outcome in self.outcomes:
            if outcome.state != "failed":
                continue
            for line in outcome.lines:
                yield f"{self.plugin}: {outcome.where}, {outcome.rule}: {line}"

    def require(self) -> None:
        """Return if no rule failed.

        Raises:
            ConformanceError: with every fault.
        """
        if self.failed:
            raise ConformanceError(*self.lines())


def fault(finding: str, expected: str, advice: str) -> str:
    """One line with a finding, the expectation that it misses and the advice to its author."""
    return f"{finding}, expected {expected}; {advice}"


def abbreviate(names: Sequence[str]) -> str:
    """Return the first three names and the number of the others."""
    first = ", ".join(names[:3])
    if len(names) <= 3:
        return first
    return f"{first} and {len(names) - 3} more"


def describe_exception(error: Exception) -> str:
    """Return the type of an exception and the first line of its message."""
    text = str(error).strip() or "no message"
    return f"raised {type(error).__name__}: {text.splitlines()[0]}"


def judge(rules: Iterable[Rule[T]], plugin: T, *, where: str) -> Iterator[Outcome]:
    """Yield the outcome of every rule; a plugin that raises an exception fails the rule in which it does."""
    failed_prerequisite = ""
    for rule in rules:
        if failed_prerequisite:
            state: State = "skipped"
            lines: tuple[str, ...] = (f"fix '{failed_prerequisite}' first",)
        else:
            state, lines = _apply(rule, plugin)
        if state == "failed" and rule.is_prerequisite:
            failed_prerequisite = rule.name
        yield Outcome(rule=rule.name, where=where, requirement=rule.requirement, state=state, lines=lines)


def _apply(rule: Rule[T], plugin: T) -> tuple[State, tuple[str, ...]]:
    try:
        faults = tuple(rule.faults(plugin))
    except SkipRuleError as reason:
        return "skipped", (str(reason),)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 any exception of a plugin is a fault to report
        advice = "debug the plugin with the input of this rule"
        return "failed", (fault(describe_exception(error), "no exception", advice),)
    if faults:
        return "failed", faults
    return "passed", ()
