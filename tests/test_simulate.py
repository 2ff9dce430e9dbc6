"""The simulation of verdicts knows the truth that it compares them with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

EVIDENCE = Path(__file__).parent.parent / "benchmarks" / "evidence"


@pytest.fixture(autouse=True)
def evidence_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EVIDENCE))


@pytest.mark.parametrize(
    "design",
    [
        {},
        {"fold_sd": 0.02, "correlation": 0.1},
        {"patients": 103, "folds": 5, "fold_sd": 0.01},
        {"folds": 2, "seeds": 3, "fold_sd": 0.01, "seed_sd": 0.02, "rest_sd": 0.02},
        {"distribution": "HD95 with penalty", "patients": 50},
    ],
)
def test_the_true_error_is_that_of_the_means(design: Mapping[str, Any]) -> None:
    from simulate_worlds import World, draw

    sample = draw(World(**design), repeats=4000)

    assert sample.means.std() == pytest.approx(sample.error, rel=0.05)


def test_the_oracle_holds_its_level_and_finds_most() -> None:
    from simulate import measure
    from simulate_rules import RULES
    from simulate_worlds import World, draw

    world = World(fold_sd=0.01)
    sample = draw(world, repeats=1000)
    figures = {name: measure(rule, sample, world) for name, rule in RULES.items()}

    oracle, of_benchbench = figures["oracle"], figures["benchbench"]
    assert 3.5 < oracle.false < 7
    assert oracle.coverage == pytest.approx(100 - oracle.false)
    assert 3 < of_benchbench.false < 6.5
    assert figures["Wilcoxon"].false > 9  # it leaves the noise of training out
    assert figures["old"].power < of_benchbench.power < oracle.power
