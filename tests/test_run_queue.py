from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from benchbench.launch.attempts import REPEATED_ALONE
from benchbench.launch.run_queue import RunQueue
from benchbench.plan.run import RunKey


@dataclass(frozen=True)
class Planned:
    """The fields of an assignment that a queue reads."""

    key: RunKey
    members: tuple[Any, ...]
    digest: str
    retries: tuple[str, ...] = ()


def assignment(model: str, *members: Any, digest: str = "") -> Any:
    return Planned(RunKey("discs", model, "default", 0, 0), members, digest or f"digest of {model}")


def take_in_thread(run_queue: RunQueue, taken: list[Any]) -> threading.Thread:
    thread = threading.Thread(target=lambda: taken.append(run_queue.take()), daemon=True)
    thread.start()
    return thread


def test_assignments_are_taken_in_their_order() -> None:
    first, second = assignment("a"), assignment("b")
    run_queue = RunQueue([first, second])
    assert (run_queue.take(), run_queue.take(), run_queue.take()) == (first, second, None)


def test_other_runs_overtake_an_ensemble_until_its_members_have_ended() -> None:
    first, second, third = assignment("a"), assignment("b"), assignment("c")
    both = assignment("both", first, second)
    run_queue = RunQueue([first, both, second, third])
    assert run_queue.take() is first
    assert run_queue.take() is second
    run_queue.finish(first)
    assert run_queue.take() is third
    run_queue.finish(second)
    assert run_queue.take() is both
    assert run_queue.take() is None


def test_an_ensemble_whose_members_are_already_done_starts_at_once() -> None:
    both = assignment("both", assignment("a"), assignment("b"))
    assert RunQueue([both]).take() is both


def test_take_waits_until_a_member_has_ended() -> None:
    first = assignment("a")
    both = assignment("both", first)
    run_queue = RunQueue([first, both])
    run_queue.take()
    taken: list[Any] = []
    thread = take_in_thread(run_queue, taken)
    thread.join(0.05)
    assert not taken
    run_queue.finish(first)
    thread.join(5)
    assert taken == [both]


def test_a_run_waits_for_an_earlier_one_with_the_same_digest() -> None:
    first, same, other = assignment("a", digest="x"), assignment("b", digest="x"), assignment("c")
    run_queue = RunQueue([first, same, other])
    assert run_queue.take() is first
    assert run_queue.take() is other
    run_queue.finish(first)
    assert run_queue.take() is same


def test_nothing_is_taken_after_the_queue_is_cleared() -> None:
    first = assignment("a")
    run_queue = RunQueue([first, assignment("both", first)])
    run_queue.take()
    taken: list[Any] = []
    thread = take_in_thread(run_queue, taken)
    run_queue.clear()
    thread.join(5)
    assert taken == [None]


def test_a_run_without_memory_is_given_once_more_when_no_other_is_active() -> None:
    first, second, third = assignment("a"), assignment("b"), assignment("c")
    run_queue = RunQueue([first, second, third])
    assert run_queue.take() is first
    assert run_queue.take() is second
    assert run_queue.repeat_alone(first)
    taken: list[Any] = []
    thread = take_in_thread(run_queue, taken)
    thread.join(0.05)
    assert taken == []  # as long as the second is active, neither the repetition nor the third starts
    run_queue.finish(second)
    thread.join(5)
    (again,) = taken
    assert (again.key, again.retries) == (first.key, (REPEATED_ALONE,))
    thread = take_in_thread(run_queue, taken)
    thread.join(0.05)
    assert len(taken) == 1  # nothing else next to the repetition
    assert not run_queue.repeat_alone(again)
    run_queue.finish(again)
    thread.join(5)
    assert taken[1] is third


def test_a_run_that_was_alone_is_not_repeated() -> None:
    first = assignment("a")
    run_queue = RunQueue([first])
    assert run_queue.take() is first
    assert not run_queue.repeat_alone(first)


def test_an_ensemble_waits_for_the_repetition_of_a_member() -> None:
    first, second = assignment("a"), assignment("b")
    both = assignment("both", first, second)
    run_queue = RunQueue([first, second, both])
    assert run_queue.take() is first
    assert run_queue.take() is second
    run_queue.finish(first)
    assert run_queue.repeat_alone(second)
    again = run_queue.take()
    assert again is not None
    assert again.key == second.key
    run_queue.finish(again)
    assert run_queue.take() is both
