"""The cases of a gallery are chosen by rule, and none twice."""

from __future__ import annotations

import pandas as pd

from benchbench.report.figures.case_choice import ChosenCase, choose_cases

# means 0.9, 0.7, 0.6, 0.35, 0.1; ranges 0, 0.2, 0, 0.7, 0
SCORES = pd.DataFrame(
    {"one": [0.1, 0.7, 0.6, 0.8, 0.9], "two": [0.1, 0.0, 0.6, 0.6, 0.9]}, index=["e", "d", "c", "b", "a"]
)


def chosen(scores: pd.DataFrame, *, is_lower_better: bool = False, without: str = "") -> dict[str, str]:
    with_reference = set(scores.index) - set(without)
    cases = choose_cases(scores, is_lower_better=is_lower_better, with_reference=with_reference)
    return {case.rule: case.case for case in cases}


def test_best_median_worst_and_most_disputed_are_chosen() -> None:
    assert chosen(SCORES) == {"best": "a", "median": "c", "worst": "e", "most disputed": "d"}


def test_the_best_case_has_the_smallest_distance() -> None:
    cases = chosen(SCORES, is_lower_better=True)
    assert (cases["best"], cases["worst"]) == ("e", "a")


def test_a_case_is_chosen_by_one_rule_only_and_the_next_case_takes_its_place() -> None:
    scores = pd.DataFrame({"one": [1.0, 0.5, 0.4, 0.0], "two": [1.0, 0.5, 0.2, 0.9]}, index=list("abcd"))
    # means 1, 0.5, 0.3, 0.45: in the middle are b and d, of which b is the better
    assert chosen(scores) == {"best": "a", "median": "b", "worst": "c", "most disputed": "d"}


def test_few_cases_give_few_choices() -> None:
    assert chosen(SCORES.loc[["a"]]) == {"best": "a"}
    assert chosen(SCORES.loc[["a", "e"]]) == {"best": "a", "worst": "e"}


def test_one_model_has_no_most_disputed_case() -> None:
    assert "most disputed" not in chosen(SCORES[["one"]])


def test_the_best_case_has_a_reference_if_any_case_has_one() -> None:
    assert chosen(SCORES, without="a")["best"] == "b"
    assert chosen(SCORES, without="abcde")["best"] == "a"


def test_equal_cases_are_chosen_by_name() -> None:
    scores = pd.DataFrame({"one": [0.5, 0.5, 0.5]}, index=list("cab"))
    assert choose_cases(scores, is_lower_better=False, with_reference="abc") == [
        ChosenCase("best", "a"),
        ChosenCase("median", "b"),
        ChosenCase("worst", "c"),
    ]
