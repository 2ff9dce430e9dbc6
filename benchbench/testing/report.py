"""What a check found: of every rule, whether it is kept, and of one that is not, what to mend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from benchbench.errors import BenchbenchError

T = TypeVar("T")
State = Literal["kept", "broken", "skipped"]


class ConformanceError(BenchbenchError, AssertionError):
    """A plugin breaks rules; every one of them is named, a line each."""


@dataclass(frozen=True)
class Rule(Generic[T]):
    """One thing that is asked of a plugin."""

    name: str
    asks: str
    """What is asked, in a few words."""
    faults: Callable[[T], Iterable[str]]
    """A line for each way in which it is not so: what was found, what was expected; what to do."""
    is_ground: bool = False
    """Whether the rules after it mean nothing where it is broken."""


class SkipRuleError(Exception):
    """Raised by a rule that does not concern a plugin, with the reason."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one rule."""

    rule: str
    where: str
    """For what: 2D, 3D, or a dataset."""
    asks: str
    state: State
    lines: tuple[str, ...] = ()
    """The faults, or why it was skipped."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a check of one plugin found."""

    plugin: str
    outcomes: tuple[Outcome, ...]
    refused: tuple[str, ...] = ()
    """Inputs that a model rightly refuses, each with its reason."""

    @property
    def broken(self) -> tuple[str, ...]:
        """The names of the rules that are broken, each once."""
        return tuple(dict.fromkeys(each.rule for each in self.outcomes if each.state == "broken"))

    def lines(self) -> Iterator[str]:
        """A line for each fault."""
        for outcome in self.outcomes:
            if outcome.state == "broken":
                yield from (f"{self.plugin}: {outcome.where}, {outcome.rule}: {line}" for line in outcome.lines)

    def require(self) -> None:
        """Nothing, if all rules are kept.

        Raises:
            ConformanceError: with every fault.
        """
        if self.broken:
            raise ConformanceError(*self.lines())


def fault(found: str, expected: str, mend: str) -> str:
    """A line that says all three."""
    return f"{found}, expected {expected}; {mend}"


def some(names: Sequence[str]) -> str:
    """The first three, and how many more."""
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def told(error: Exception) -> str:
    """An exception in a few words."""
    first = str(error).strip().splitlines()[:1]
    return f"raised {type(error).__name__}: {first[0] if first else 'no message'}"


def judge(rules: Iterable[Rule[T]], plugin: T, *, where: str) -> Iterator[Outcome]:
    """The outcome of every rule; a plugin that raises breaks the rule under which it does."""
    fallen = ""
    for rule in rules:
        state, lines = _outcome(rule, plugin) if not fallen else ("skipped", (f"mend '{fallen}' first",))
        if state == "broken" and rule.is_ground:
            fallen = rule.name
        yield Outcome(rule=rule.name, where=where, asks=rule.asks, state=state, lines=lines)


def _outcome(rule: Rule[T], plugin: T) -> tuple[State, tuple[str, ...]]:
    try:
        faults = tuple(rule.faults(plugin))
    except SkipRuleError as reason:
        return "skipped", (str(reason),)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 whatever a plugin raises is a fault to be told
        mend = "run it under a debugger with the input of this rule"
        return "broken", (fault(told(error), "no exception", mend),)
    return ("broken", faults) if faults else ("kept", ())
