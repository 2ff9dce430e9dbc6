"""Numbers with their nouns, in messages of every command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchbench.words import are, count, natural_order

ROOT = Path(__file__).parents[1]
NOUNS = (
    "runs|cases|patients|models|comparisons|folds|problems|entries|rules|datasets|predictions|epochs|points|pairs"
)


@pytest.mark.parametrize(("number", "expected"), [(0, "0 cases"), (1, "1 case"), (2, "2 cases")])
def test_a_noun_agrees_with_its_number(number: int, expected: str) -> None:
    assert count(number, "case") == expected


def test_irregular_nouns_and_verbs_agree_too() -> None:
    assert (count(1, "entry"), count(3, "entry")) == ("1 entry", "3 entries")
    assert (are(1, "patient"), are(4, "patient")) == ("1 patient is", "4 patients are")


def test_no_message_puts_a_plural_after_a_number_that_may_be_one() -> None:
    """Messages with a variable before a plural; those below are about two or more."""
    at_least_two = {
        "report/figures/gallery.py": 3,
        "report/figures/volume.py": 1,
        "report/figures/curves.py": 1,
        "report/figures/cases.py": 1,
        "data/folds.py": 1,
        "cli/run.py": 1,
        "plan/expand.py": 1,
        "run/resumable_training.py": 1,
        "spec/messages.py": 1,
        "statistics/family.py": 1,
        "cli/split.py": 1,
        "comparison/floor.py": 2,
        "comparison/verdict.py": 1,
        "prediction/runs.py": 1,
        "report/page/sections.py": 1,
        "report/page/compared.py": 1,
        "report/page/overview.py": 1,
        "tables/results.py": 1,
    }
    plural = re.compile(r"\{[^{}]+\} (?:" + NOUNS + r")\b")
    faults = {}
    for path in sorted((ROOT / "benchbench").rglob("*.py")):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if plural.search(line)]
        name = path.relative_to(ROOT / "benchbench").as_posix()
        if len(lines) > at_least_two.get(name, 0):
            faults[name] = lines
    assert faults == {}


@pytest.mark.parametrize(
    "ordered",
    [
        ["9", "10", "100"],
        ["-2", "-0.5", "0.0003", "0.002", "1e+02"],
        ["1e-05", "0.001", "0.09", "0.1"],
        ["fold0", "fold2", "fold10"],
        ["lr=1e-05", "lr=0.0003", "lr=0.002"],
        ["unet", "unet_2", "unet_10", "unext"],
        ["0.9.1", "0.10.0", "0.10.2"],
        ["0.75 to 1.25", "0.9 to 1.1"],
        ["10", "adam"],
        ["false", "true"],
    ],
)
def test_numbers_in_names_are_ordered_as_numbers(ordered: list[str]) -> None:
    backwards = ordered[::-1]
    assert sorted(backwards, key=natural_order) == ordered
