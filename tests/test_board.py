"""The rows that are ranked against each other, and the verdict on their order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
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
from benchbench.comparison.verdict import grounds, kind_of, missing, verdict
from benchbench.records.folder import ResultsFolder
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


def test_ranks_follow_from_the_differences_that_are_shown(tmp_path: Path) -> None:
    board = board_of(graded(tmp_path, {"one": 0.1, "same": 0.1, "worse": 0.0}))
    assert board.ranks == {"one": (1, 2), "same": (1, 2), "worse": (3, 3)}
    assert (
        board.verdict.headline
        == "one has the best mean on discs: equivalent within 0.01 to same, better than worse"
    )
    assert board.verdict.grounds.startswith("to same: dice +0.0000 [-0.0000, +0.0000]")
    assert board.family == "Holm over 3 comparisons: the 3 pairs of models on discs by dice"
    assert "p(Holm, 3 pairs) = 1.0000" in board.verdict.grounds


def test_the_evidence_is_of_the_best_model_that_is_undecided(tmp_path: Path) -> None:
    folder = graded(tmp_path, {"one": 0.2, "near": 0.2, "third": 0.2})
    end(folder, key("near", 0), scans(0, better=0.1))
    end(folder, key("third", 0), scans(0, better=0.0))
    board = board_of(folder)
    assert board.verdict.headline.startswith(
        "one has the best mean on discs: undecided against near, third (near: "
    )
    assert "60 patients in 5 folds; " in board.verdict.headline
    assert board.verdict.grounds.startswith("to near: ")


@pytest.mark.parametrize(
    ("models", "headline"),
    [
        ({"a": 0.1, "b": 0.1}, "a and b are equivalent within 0.01 on discs"),
        ({"a": 0.1, "b": 0.1, "c": 0.1}, "a has the best mean on discs: equivalent within 0.01 to b, c"),
    ],
)
def test_equal_models_are_equivalent(tmp_path: Path, models: dict[str, float], headline: str) -> None:
    board = board_of(graded(tmp_path, models))
    assert board.verdict.headline == headline


def test_scores_that_are_all_zero_share_a_rank_on_the_leaderboard(tmp_path: Path) -> None:
    keys = [key(model, fold) for model in ("both", "plain") for fold in (0, 1)]
    folder = plan(tmp_path, keys, metrics=["dice"])
    for run in keys:
        end(folder, run, {f"{case}{run.fold}": {"disc": [(0, 0, 3, 7)]} for case in "abcd"})
    board = board_of(folder)
    few = "8 patients are too few for a test; 10 are the least"
    assert board.verdict.headline == f"both and plain on discs: undecided: {few}"
    assert board.ranks == {"both": (1, 2), "plain": (1, 2)}
    assert list(leaderboard(read_results(folder))["rank"]) == [1, 1]


def test_a_leader_shown_to_differ_from_all_others_is_called_better(tmp_path: Path) -> None:
    board = board_of(graded(tmp_path, {"one": 0.2, "two": 0.1, "three": 0.0}))
    assert board.verdict.headline == "one is better than two, three on discs"
    assert board.verdict.grounds.startswith("to two: dice +0.0")
    assert "60 patients, 5 folds x 1 seed" in board.verdict.grounds


def test_one_model_is_compared_with_nothing(tmp_path: Path) -> None:
    board = board_of(graded(tmp_path, {"one": 0.2}))
    assert str(board.verdict) == "one is the only model on discs, with nothing to compare it to"
    assert (list(board.comparisons), board.ranks) == ([], {"one": (1, 1)})


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


def test_cases_undefined_for_every_row_are_counted(tmp_path: Path) -> None:
    keys = [key(model, fold) for fold in range(N_FOLDS) for model in ("cautious", "bold")]
    folder = plan(tmp_path, keys, metrics=["dice"], empty="nnunet")
    for run in keys:
        of_run = scans(run.fold, better=0.0)
        if run.fold == 0:
            first = next(iter(of_run.values()))
            first.update(dict.fromkeys(first, [(0, 0, 0, 400)] * len(next(iter(first.values())))))
        end(folder, run, of_run)
    board = board_of(folder)
    assert board.notes == ("1 case left out: undefined for every row (rule for empty masks: nnunet)",)
    assert board.panel.counts.sum(axis=1).tolist() == [N_FOLDS * len(of_run) - 1] * 2


def test_a_case_that_is_undefined_in_one_region_is_undefined_for_the_row(tmp_path: Path) -> None:
    """With nnU-Net's rule the region of a right empty prediction has no Dice, that of a false positive has 0."""
    keys = [key(model, fold) for fold in range(N_FOLDS) for model in ("cautious", "bold")]
    folder = plan(tmp_path, keys, metrics=["dice"], empty="nnunet")
    for run in keys:
        of_run = scans(run.fold, better=0.0)
        for number, regions in enumerate(of_run.values()):
            regions["core"] = [(50, 10, 10, 330)]
            if number == 0:
                regions["core"] = [(0, 0 if run.model == "cautious" else 5, 0, 395)]
        end(folder, run, of_run)
    board = board_of(folder)
    assert board.notes == ("5 cases left out: undefined for some rows only (rule for empty masks: nnunet)",)
    assert board.means["cautious"] == board.means["bold"]


def test_the_ratio_of_tested_to_trained_patients_follows_from_folds_and_validation(tmp_path: Path) -> None:
    # of five folds one is tested, and four fifths of the other four are trained on
    assert board_of(graded(tmp_path, {"one": 0.1})).test_over_train == pytest.approx(1 / (4 * 0.8))


def test_the_smallest_difference_that_matters_is_that_of_the_benchmark_file(tmp_path: Path) -> None:
    folder = graded(tmp_path, {"one": 0.1, "two": 0.1})
    change_manifest(folder, delta={"dice": 0.05})
    board = board_of(folder)
    assert board.rope == 0.05
    assert board.verdict.headline == "one and two are equivalent within 0.05 on discs"


def test_a_model_that_is_not_worse_and_costs_less_is_named(tmp_path: Path) -> None:
    folder = graded(tmp_path, {"big": 0.1, "small": 0.1})
    for fold in range(N_FOLDS):
        end(folder, key("big", fold), scans(fold, better=0.1, seed=3), cost={"gmacs_per_case": 40.0})
        end(folder, key("small", fold), scans(fold, better=0.1, seed=fold), cost={"gmacs_per_case": 4.0})
    (pair,) = board_of(folder).comparisons
    alike = replace(pair, p_holm=0.3, p_holm_equivalent=0.2, p_first_not_worse=0.001, p_second_not_worse=0.001)
    costs = {"big": 40.0, "small": 4.0}
    assert board_of(folder).costs == costs
    assert kind_of(alike, costs) == "cheaper"
    text = verdict(alike, metric="dice", dataset="discs", seeds=1, costs=costs)
    assert text.startswith(
        "small is not worse than big by more than 0.01 on discs, and cheaper (4 instead of 40 GMACs per case): dice"
    )
    assert kind_of(alike, {"big": 4.0, "small": 4.0}) == "undecided"
    assert kind_of(replace(alike, p_first_not_worse=0.5, p_second_not_worse=0.5), costs) == "undecided"


def test_an_undecided_pair_says_what_would_decide_it(tmp_path: Path) -> None:
    folder = graded(tmp_path, {"one": 0.1, "two": 0.1})
    for fold in range(N_FOLDS):
        end(folder, key("two", fold), scans(fold, better=0.1, seed=9))
    (pair,) = board_of(folder).comparisons
    wide = replace(
        pair,
        p=0.3,
        p_holm=0.3,
        p_holm_equivalent=0.3,
        noise=replace(pair.noise, patients=np.array(0.01), folds=np.array(0.01)),
    )
    text = missing(wide)
    assert text.startswith("60 patients in 5 folds; about ")
    assert "would show a difference of 0.01" in text
    few = replace(pair, p=Unknown("4 patients are too few for a test; 10 are the least"), p_holm=0.3)
    assert missing(few) == "4 patients are too few for a test; 10 are the least"


@pytest.mark.parametrize(
    ("metric", "detectable", "text"),
    [
        ("dice", 1.5, "no difference would be detected"),
        ("dice", 0.5, "a difference of 0.5000 would be detected"),
        ("hd95", 1.5, "a difference of 1.5000 would be detected"),
    ],
)
def test_a_difference_that_the_metric_cannot_have_is_not_called_detectable(
    tmp_path: Path, metric: str, detectable: float, text: str
) -> None:
    (pair,) = board_of(graded(tmp_path, {"one": 0.1, "two": 0.2})).comparisons
    pair = replace(pair, p=0.5, p_holm=0.5, p_holm_equivalent=0.5, smallest_detectable=detectable)
    assert f"{text} with 80 % power" in grounds(pair, metric=metric, seeds=1)


@pytest.mark.slow
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
