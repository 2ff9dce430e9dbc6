"""The rows that are ranked against each other, and the verdict on their order."""

from __future__ import annotations

from pathlib import Path

import pytest
from handmade import (
    FOLD_0,
    FOLD_1,
    N_FOLDS,
    PERFECT_0,
    PERFECT_1,
    change_manifest,
    end,
    graded,
    key,
    plan,
    scans,
    two_models,
)

from benchbench.comparison.board import Board, boards
from benchbench.results.folder import ResultsFolder
from benchbench.statistics import DRAWS, Interval, Unknown
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.results import read_results
from benchbench.tables.summaries import summary_table


def board_of(folder: ResultsFolder) -> Board:
    (board,) = boards(read_results(folder))
    return board


def test_rows_are_ordered_from_the_best_with_the_means_of_the_summary(tmp_path: Path) -> None:
    folder = graded(tmp_path, {"low": 0.0, "high": 0.2, "middle": 0.1})
    board = board_of(folder)
    assert list(board.rows) == ["high", "middle", "low"]
    summary = summary_table(read_results(folder))
    lines = summary[
        (summary["metric"] == "dice") & (summary["aggregate"] == "case") & (summary["region"] == "mean")
    ]
    assert dict(zip(lines["model"], lines["mean"], strict=True)) == pytest.approx(board.means)
    for name, interval in board.intervals.items():
        assert isinstance(interval, Interval)
        assert interval.low < board.means[name] < interval.high


def test_models_that_are_not_separable_share_a_tier(tmp_path: Path) -> None:
    board = board_of(graded(tmp_path, {"one": 0.1, "same": 0.1, "worse": 0.0}))
    assert board.tiers == {"one": "1-2", "same": "1-2", "worse": "3"}
    assert board.verdict.headline == "one and same are tied for the first place on discs and better than worse"
    assert board.verdict.grounds.startswith("to same: dice +0.0000 [+0.0000, +0.0000]")
    assert board.family == "Holm over 3 comparisons: the 3 pairs of models on discs by dice"
    assert "p(Holm, 3 pairs) = 1.0000" in board.verdict.grounds


def test_the_evidence_is_of_the_best_model_that_is_not_separable_from_the_leader(tmp_path: Path) -> None:
    folder = graded(tmp_path, {"one": 0.2, "near": 0.2, "third": 0.2})
    end(folder, key("near", 0), scans(0, better=0.19))
    end(folder, key("third", 0), scans(0, better=0.18))
    board = board_of(folder)
    assert board.verdict.headline == "one leads on discs and is not separable from near, third"
    assert board.verdict.grounds.startswith("to near: ")


@pytest.mark.parametrize(
    ("models", "headline"),
    [
        ({"a": 0.1, "b": 0.1}, "a and b are tied on discs"),
        ({"a": 0.1, "b": 0.1, "c": 0.1}, "a, b, c are tied on discs"),
        (
            {"a": 0.1, "b": 0.1, "c": 0.099},
            "a and b are tied for the first place on discs and not separable from c",
        ),
    ],
)
def test_equal_means_are_a_tie(tmp_path: Path, models: dict[str, float], headline: str) -> None:
    folder = graded(tmp_path, models)
    if models.get("c") == 0.099:
        for fold in range(N_FOLDS):
            end(folder, key("c", fold), scans(fold, better=0.1 if fold else 0.08))
    board = board_of(folder)
    assert board.verdict.headline == headline
    assert "leads" not in str(board.verdict)


def test_scores_that_are_all_zero_are_a_tie_on_the_leaderboard_too(tmp_path: Path) -> None:
    keys = [key(model, fold) for model in ("both", "plain") for fold in (0, 1)]
    folder = plan(tmp_path, keys, metrics=["dice"])
    for run in keys:
        end(folder, run, {f"{case}{run.fold}": {"disc": [(0, 0, 3, 7)]} for case in "abcd"})
    board = board_of(folder)
    assert board.verdict.headline == "both and plain are tied on discs"
    assert board.tiers == {"both": "1-2", "plain": "1-2"}
    assert list(leaderboard(read_results(folder))["rank"]) == [1, 1]


def test_a_leader_separable_from_all_others_is_called_better(tmp_path: Path) -> None:
    board = board_of(graded(tmp_path, {"one": 0.2, "two": 0.1, "three": 0.0}))
    assert board.verdict.headline == "one is better than two, three on discs"
    assert board.verdict.grounds.startswith("to two: dice +0.0")
    assert "60 patients, 5 folds x 1 seed" in board.verdict.grounds


def test_one_model_is_compared_with_nothing(tmp_path: Path) -> None:
    board = board_of(graded(tmp_path, {"one": 0.2}))
    assert str(board.verdict) == "one is the only model on discs, with nothing to compare it to"
    assert (list(board.comparisons), board.tiers) == ([], {"one": "1"})
    assert isinstance(board.stability, Unknown)


def test_distances_are_ranked_from_the_lowest(tmp_path: Path) -> None:
    keys = [key(model, fold) for model in ("near", "far") for fold in (0, 1)]
    folder = plan(tmp_path, keys, metrics=["hd95", "dice"])
    for run in keys:
        off = {"near": 1.0, "far": 5.0}[run.model]
        counts = (PERFECT_0, PERFECT_1)[run.fold]
        end(folder, run, counts, {case: {"hd95_mm": off, "diagonal_mm": 9.0} for case in counts})
    board = board_of(folder)
    assert (list(board.rows), board.metric, board.rope) == (["near", "far"], "hd95_mm", 1.0)


def test_a_row_with_unfinished_runs_is_not_ranked_but_named(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    end(folder, key("plain", 1), None, status="failed", reason="memory")
    board = board_of(folder)
    assert list(board.rows) == ["grand"]
    assert board.notes == ("plain has unfinished runs and is not ranked",)


def test_rows_of_different_rules_or_splits_are_on_different_boards(tmp_path: Path) -> None:
    keys = [key("plain", fold, variant=variant) for variant in ("a", "b") for fold in (0, 1)]
    rules = {"metrics": ["dice"], "empty": "score", "select_on": "validation"}
    folder = plan(tmp_path, keys, scores={"a": rules, "b": {**rules, "select_on": "report"}})
    for run in keys:
        end(folder, run, (FOLD_0, FOLD_1)[run.fold])
    assert [(list(board.rows), board.selects_on_test_set) for board in boards(read_results(folder))] == [
        (["a"], False),
        (["b"], True),
    ]
    change_manifest(folder, scores={"a": rules, "b": rules})
    assert list(board_of(folder).rows) == ["a", "b"]
    end(folder, key("plain", 1, variant="b"), FOLD_1, split_digest="another")
    assert [list(board.rows) for board in boards(read_results(folder))] == [["a"], ["b"]]


def test_cases_undefined_for_one_row_only_are_left_out_of_all_rows_and_counted(tmp_path: Path) -> None:
    board = board_of(two_models(tmp_path, empty="nnunet"))
    # nnU-Net has no Dice where both masks are empty: case c of plain
    assert board.panel.patients == ("a", "b", "d", "e", "f")
    assert board.notes == ("1 case left out: undefined for some rows only (rule for empty masks: nnunet)",)


def test_the_ratio_of_tested_to_trained_patients_follows_from_folds_and_validation(tmp_path: Path) -> None:
    # of five folds one is tested, and four fifths of the other four are trained on
    assert board_of(graded(tmp_path, {"one": 0.1})).test_over_train == pytest.approx(1 / (4 * 0.8))


def test_many_pairs_are_resampled_less_often(tmp_path: Path) -> None:
    few = board_of(graded(tmp_path / "few", {str(number): 0.01 * number for number in range(8)}))
    many = board_of(graded(tmp_path / "many", {str(number): 0.01 * number for number in range(9)}))
    assert (few.draws, many.draws) == (DRAWS, DRAWS // 5)


def test_seeds_count_as_one_value_per_patient(tmp_path: Path) -> None:
    keys = [key(model, fold, seed=seed) for model in ("one", "two") for fold in range(N_FOLDS) for seed in (0, 1)]
    folder = plan(tmp_path, keys)
    for run in keys:
        end(folder, run, scans(run.fold, better=0.1 * (run.model == "two"), seed=0))
    board = board_of(folder)
    assert (len(board.panel.patients), board.seeds) == (60, 2)
    assert "60 patients, 5 folds x 2 seeds" in str(board.verdict)
