"""The order of a board under other averages, rules for empty masks and metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
from handmade import end, key, plan, two_models

from benchbench.comparison.board import boards
from benchbench.comparison.sensitivity import sensitivity_table
from benchbench.report.page.sections import dataset_section
from benchbench.tables.results import read_results


def test_an_order_that_never_changes_keeps_tau_at_one(tmp_path: Path) -> None:
    results = read_results(two_models(tmp_path))
    (board,) = boards(results)
    table = sensitivity_table(results, board)
    assert list(table.columns) == ["choice", "first", "tau", "moved", "note", "grand", "plain"]
    assert set(table["first"]) == {"grand"}
    assert set(table["tau"]) == {1.0}
    assert table["choice"][0] == "dice, mean over cases, empty masks: score"
    assert "sensitivity, mean over cases" in set(table["choice"])


def test_choices_that_cannot_change_the_order_are_not_counted(tmp_path: Path) -> None:
    """No reference is empty, so that rules for empty masks change nothing; both models miss case b."""
    folder = plan(tmp_path, [key("one", 0), key("two", 0)], metrics=["dice"])
    missed = {"disc": [(0, 0, 4, 6)]}
    end(folder, key("one", 0), {"a": {"disc": [(3, 1, 1, 5)]}, "b": missed})
    end(folder, key("two", 0), {"a": {"disc": [(4, 0, 0, 6)]}, "b": missed})
    results = read_results(folder)
    (board,) = boards(results)
    table = sensitivity_table(results, board)
    notes = table.set_index("choice")["note"]
    assert notes["dice, mean over cases, empty masks: score"] == "the order of the board"
    assert notes["dice, mean over cases, empty masks: monai"] == "changes no score"
    assert notes["dice, mean of the worst 5% of the patients"] == "all rows are equal"
    assert notes["dice, mean over folds"] == "changes no score"
    assert notes["dice, all voxels pooled"] == ""
    section = dataset_section(results, [(board, table)], "discs").boards[0]
    counted = int((table["note"] == "").sum())
    assert (section.n_choices, section.n_same_first) == (counted, counted)
    assert counted < len(table) - 4


def test_a_tie_of_zeros_counts_no_choice(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("one", 0), key("two", 0)], metrics=["dice"])
    for model in ("one", "two"):
        end(folder, key(model, 0), {"a": {"disc": [(0, 1, 4, 5)]}, "b": {"disc": [(0, 0, 3, 7)]}})
    results = read_results(folder)
    (board,) = boards(results)
    section = dataset_section(results, [(board, sensitivity_table(results, board))], "discs").boards[0]
    assert (section.n_choices, section.n_same_first) == (0, 0)


def test_a_rule_that_changes_the_winner_is_reported(tmp_path: Path) -> None:
    """Model one finds part of each lesion; model two is perfect except for a false positive on an empty case."""
    folder = plan(tmp_path, [key("one", 0), key("two", 0)], metrics=["dice"])
    end(folder, key("one", 0), {"a": {"disc": [(3, 1, 1, 5)]}, "b": {"disc": [(0, 0, 0, 10)]}})
    end(folder, key("two", 0), {"a": {"disc": [(4, 0, 0, 6)]}, "b": {"disc": [(0, 1, 0, 9)]}})
    results = read_results(folder)
    (board,) = boards(results)
    assert board.means == pytest.approx({"one": 0.875, "two": 0.5})
    table = sensitivity_table(results, board).set_index("choice")
    stratified = table.loc["dice, mean over cases, empty masks: stratify"]
    assert (stratified["first"], stratified["tau"], stratified["moved"]) == ("two", -1.0, 1)
    assert (stratified["one"], stratified["two"]) == (2, 1)
    # MONAI defines no Dice where the reference is empty, whatever the prediction
    assert table.loc["dice, mean over cases, empty masks: monai"]["first"] == "two"


def test_every_row_has_its_own_worst_patients(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("steady", 0), key("gambler", 0)], metrics=["dice"])
    cases = "abcd"
    end(folder, key("steady", 0), {case: {"disc": [(3, 1, 1, 5)]} for case in cases})
    end(
        folder,
        key("gambler", 0),
        {case: {"disc": [(4, 0, 0, 6) if case != "d" else (1, 3, 3, 3)]} for case in cases},
    )
    results = read_results(folder)
    (board,) = boards(results)
    assert list(board.rows) == ["gambler", "steady"]
    worst = sensitivity_table(results, board).set_index("choice").loc["dice, mean of the worst 5% of the patients"]
    assert worst["first"] == "steady"


def test_the_worst_patients_by_a_distance_are_the_farthest(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("steady", 0), key("gambler", 0)], metrics=["hd95"])
    cases = {case: {"disc": [(3, 1, 1, 5)]} for case in "abcd"}
    end(folder, key("steady", 0), cases, {case: {"hd95_mm": 3.0} for case in "abcd"})
    distances = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 8.0}
    end(folder, key("gambler", 0), cases, {case: {"hd95_mm": distance} for case, distance in distances.items()})
    results = read_results(folder)
    (board,) = boards(results)
    table = sensitivity_table(results, board).set_index("choice")
    assert table.loc["hd95_mm, mean over cases, empty masks: score", "first"] == "gambler"  # 11/4 and 3
    assert table.loc["hd95_mm, mean of the worst 5% of the patients", "first"] == "steady"  # 8 and 3
    assert table.loc["hd95_mm, median over cases", "first"] == "gambler"  # 1 and 3


def test_rows_that_only_a_rounding_error_separates_are_equal(tmp_path: Path) -> None:
    # 0.1, 0.2 and 0.3 add up to slightly more than 0.3, 0.2 and 0.1
    tenths = {1: (1, 9, 9, 81), 2: (2, 8, 8, 82), 3: (3, 7, 7, 83)}
    folder = plan(tmp_path, [key("up", 0), key("down", 0)], metrics=["dice"])
    for model, order in (("up", (1, 2, 3)), ("down", (3, 2, 1))):
        end(folder, key(model, 0), {f"case{at}": {"disc": [tenths[n]]} for at, n in enumerate(order)})
    results = read_results(folder)
    (board,) = boards(results)
    assert len(set(board.means.values())) == 2
    line = sensitivity_table(results, board).set_index("choice").loc["dice, mean over cases, empty masks: score"]
    assert (line["up"], line["down"], line["moved"]) == (1, 1, 0)
