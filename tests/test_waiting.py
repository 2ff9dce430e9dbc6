from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from benchbench.launch.waiting import Waiting
from benchbench.plan.run import RunKey


def assignment(model: str, *members: Any) -> Any:
    return SimpleNamespace(key=RunKey("discs", model, "default", 0, 0), members=members)


def test_assignments_are_handed_out_in_their_order() -> None:
    first, second = assignment("a"), assignment("b")
    waiting = Waiting([first, second])
    assert (waiting.take(), waiting.take(), waiting.take()) == (first, second, None)


def test_an_ensemble_lets_others_pass_until_its_members_are_over() -> None:
    first, second, third = assignment("a"), assignment("b"), assignment("c")
    both = assignment("both", first, second)
    waiting = Waiting([first, both, second, third])
    assert waiting.take() is first
    assert waiting.take() is second
    waiting.end(first)
    assert waiting.take() is third
    waiting.end(second)
    assert waiting.take() is both
    assert waiting.take() is None


def test_an_ensemble_of_runs_that_are_done_already_waits_for_nothing() -> None:
    both = assignment("both", assignment("a"), assignment("b"))
    assert Waiting([both]).take() is both


def waiter(waiting: Waiting, taken: list[Any]) -> threading.Thread:
    thread = threading.Thread(target=lambda: taken.append(waiting.take()), daemon=True)
    thread.start()
    return thread


def test_whoever_asks_too_early_is_answered_when_the_member_is_over() -> None:
    first = assignment("a")
    both = assignment("both", first)
    waiting = Waiting([first, both])
    waiting.take()
    taken: list[Any] = []
    thread = waiter(waiting, taken)
    thread.join(0.05)
    assert not taken
    waiting.end(first)
    thread.join(5)
    assert taken == [both]


def test_nothing_more_is_handed_out_once_the_rest_is_dropped() -> None:
    first = assignment("a")
    waiting = Waiting([first, assignment("both", first)])
    waiting.take()
    taken: list[Any] = []
    thread = waiter(waiting, taken)
    waiting.drop()
    thread.join(5)
    assert taken == [None]
