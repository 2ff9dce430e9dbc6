"""The cases of a gallery are chosen by rule, each once."""

from __future__ import annotations

import pandas as pd

from benchbench.report.figures.chosen import Chosen, choose

# means 0.9, 0.7, 0.6, 0.35, 0.1; ranges 0, 0.2, 0, 0.7, 0
SCORES = pd.DataFrame(
    {"one": [0.1, 0.7, 0.6, 0.8, 0.9], "two": [0.1, 0.0, 0.6, 0.6, 0.9]}, index=["e", "d", "c", "b", "a"]
)


def chosen(scores: pd.DataFrame, *, is_lower_better: bool = False, without: str = "") -> dict[str, str]:
    found = choose(scores, is_lower_better=is_lower_better, with_reference=set(scores.index) - set(without))
    return {each.rule: each.case for each in found}


def test_best_median_worst_and_most_disputed_are_chosen() -> None:
    assert chosen(SCORES) == {"best": "a", "median": "c", "worst": "e", "most disputed": "d"}


def test_of_a_distance_the_best_case_has_the_least() -> None:
    found = chosen(SCORES, is_lower_better=True)
    assert (found["best"], found["worst"]) == ("e", "a")


def test_a_case_stands_under_one_rule_and_the_next_takes_its_place() -> None:
    scores = pd.DataFrame({"one": [1.0, 0.5, 0.4, 0.0], "two": [1.0, 0.5, 0.2, 0.9]}, index=list("abcd"))
    # means 1, 0.5, 0.3, 0.45: in the middle are b and d, of which b is the better
    assert chosen(scores) == {"best": "a", "median": "b", "worst": "c", "most disputed": "d"}


def test_few_cases_have_few_pictures() -> None:
    assert chosen(SCORES.loc[["a"]]) == {"best": "a"}
    assert chosen(SCORES.loc[["a", "e"]]) == {"best": "a", "worst": "e"}


def test_one_model_disputes_nothing() -> None:
    assert "most disputed" not in chosen(SCORES[["one"]])


def test_the_best_case_is_one_in_which_there_is_something_to_find() -> None:
    assert chosen(SCORES, without="a")["best"] == "b"
    assert chosen(SCORES, without="abcde")["best"] == "a"


def test_equal_cases_are_chosen_by_name() -> None:
    scores = pd.DataFrame({"one": [0.5, 0.5, 0.5]}, index=list("cab"))
    assert choose(scores, is_lower_better=False, with_reference="abc") == [
        Chosen("best", "a"),
        Chosen("median", "b"),
        Chosen("worst", "c"),
    ]
