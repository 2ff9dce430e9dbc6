from __future__ import annotations

import pytest

from benchbench import IncompatibleError
from benchbench_models.requirements import Requirements


def test_requirements_that_are_met_raise_nothing() -> None:
    require = Requirements("net")
    require.at_least(1, width=1, depth=5)
    require.probability(dropout=0.0)
    require.halvings((32, 96), 5)
    require.multiple_of(8, width=16)
    require.levels(2, (4, 8))
    require.patch_multiple_of(32, (32, 64), least=2)
    require.that(True, "never reported")
    require.check()


def test_one_error_reports_all_that_is_not_met_one_per_line() -> None:
    require = Requirements("net")
    require.at_least(2, width=1, depth=2, steps=0)
    require.probability(dropout=1.0)
    require.halvings((32, 48), 5)
    require.multiple_of(8, width=12)
    require.levels(3, (4, 8))
    require.patch_multiple_of(32, (32, 48))
    require.patch_multiple_of(32, (32, 32), least=2)
    require.that(False, "colour is red, expected blue; choose another")
    with pytest.raises(IncompatibleError) as caught:
        require.check()
    assert caught.value.problems == (
        "net: width is 1, expected at least 2; choose another",
        "net: steps is 0, expected at least 2; choose another",
        "net: dropout is 1.0, expected a probability in [0, 1); choose another",
        "net: patch is [32, 48], expected multiples of 32 at depth 5; change the protocol's patch or the depth",
        "net: width is 12, expected a multiple of 8; choose another",
        "net: widths is [4, 8], expected 3 or more, each at least 1; choose others",
        "net: patch is [32, 48], expected multiples of 32; change the protocol's patch",
        "net: patch is [32, 32], expected more than 32 along an axis; enlarge it",
        "net: colour is red, expected blue; choose another",
    )


def test_a_depth_below_zero_requires_nothing_of_the_patch() -> None:
    require = Requirements("net")
    require.halvings((3, 5), -1)
    require.check()
