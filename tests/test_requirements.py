from __future__ import annotations

import pytest

from benchbench import IncompatibleError
from benchbench_models.requirements import Requirements


def test_what_is_met_raises_nothing() -> None:
    need = Requirements("net")
    need.at_least(1, width=1, depth=5)
    need.probability(dropout=0.0)
    need.halvings((32, 96), 5)
    need.that(True, "never said")
    need.check()


def test_one_error_tells_all_that_is_not_met_one_a_line() -> None:
    need = Requirements("net")
    need.at_least(2, width=1, depth=2, steps=0)
    need.probability(dropout=1.0)
    need.halvings((32, 48), 5)
    need.that(False, "colour is red, expected blue; choose another")
    with pytest.raises(IncompatibleError) as caught:
        need.check()
    assert caught.value.problems == (
        "net: width is 1, expected at least 2; choose another",
        "net: steps is 0, expected at least 2; choose another",
        "net: dropout is 1.0, expected a probability in [0, 1); choose another",
        "net: patch is [32, 48], expected multiples of 32 at depth 5; change the protocol's patch or the depth",
        "net: colour is red, expected blue; choose another",
    )


def test_a_depth_below_zero_asks_nothing_of_the_patch() -> None:
    need = Requirements("net")
    need.halvings((3, 5), -1)
    need.check()
