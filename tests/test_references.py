from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from handmade import FOLD_0, FOLD_1, Scans, end, key, plan
from test_orchestrate import carry

from benchbench.report import leaderboard_page
from benchbench.results.folder import ResultsFolder
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.references import BACKGROUND, CEILING, references, with_references
from benchbench.tables.results import read_results

pytestmark = pytest.mark.usefixtures("without_figures")

METRICS = ("dice", "accuracy", "sensitivity", "specificity")
# of FOLD_0 and FOLD_1: one pixel of b and one of d are lost
RESIZED_0: Scans = {
    "a": {"disc": [(4, 0, 0, 16)]},
    "b": {"disc": [(3, 0, 1, 16)]},
    "c": {"disc": [(0, 0, 0, 20)]},
}
RESIZED_1: Scans = {
    "d": {"disc": [(5, 0, 1, 14)]},
    "e": {"disc": [(0, 0, 0, 20)]},
    "f": {"disc": [(5, 0, 0, 15)]},
}


def results_of(
    path: Path, *, seeds: tuple[int, ...] = (0,), variants: tuple[str, ...] = ("default",), **more: Any
) -> ResultsFolder:
    models = ("plain", "grand")
    keys = [
        key(model, fold, variant=variant, seed=seed)
        for variant in variants
        for seed in seeds
        for fold in (0, 1)
        for model in models
    ]
    folder = plan(path, keys, **{"metrics": METRICS, **more})
    for each in keys:
        end(folder, each, (FOLD_0, FOLD_1)[each.fold], ceiling=(RESIZED_0, RESIZED_1)[each.fold])
    return folder


def rows(folder: ResultsFolder) -> dict[str, dict[str, Any]]:
    return {line["model"]: line for line in references(read_results(folder)).to_dict("records")}


def test_a_prediction_of_nothing_scores_what_can_be_worked_out_by_hand(tmp_path: Path) -> None:
    line = rows(results_of(tmp_path))[BACKGROUND]
    assert {name: line[name] for name in (*METRICS, "fold_mean", "fold_sd", "dice_pos", "n")} == pytest.approx(
        {
            "dice": 2 / 6,  # c and e have no reference
            "accuracy": (16 + 16 + 20 + 14 + 20 + 15) / 20 / 6,
            "sensitivity": 0.0,
            "specificity": 1.0,
            "fold_mean": 1 / 3,
            "fold_sd": 0.0,
            "dice_pos": 0.0,
            "n": 6,
        }
    )
    assert (line["dataset"], line["variant"], line["runs"]) == ("discs", "default", "")
    assert pd.isna(line["rank"])


@pytest.mark.parametrize(("empty", "dice"), [("nnunet", 0.0), ("zero", 0.0), ("stratify", 0.0), ("brats", 1 / 3)])
def test_it_is_scored_by_the_rule_for_empty_masks_of_the_models(tmp_path: Path, empty: str, dice: float) -> None:
    assert rows(results_of(tmp_path, empty=empty))[BACKGROUND]["dice"] == pytest.approx(dice)


def test_the_resized_truth_is_scored_as_it_was_counted(tmp_path: Path) -> None:
    line = rows(results_of(tmp_path))[CEILING]
    assert line["dice"] == pytest.approx((1 + 6 / 7 + 1 + 10 / 11 + 1 + 1) / 6)
    assert line["sensitivity"] == pytest.approx((1 + 3 / 4 + 5 / 6 + 1) / 4)
    assert line["n"] == 6


def test_a_case_counts_once_however_many_models_and_seeds_predict_it(tmp_path: Path) -> None:
    one, many = results_of(tmp_path / "one"), results_of(tmp_path / "many", seeds=(3, 4, 8))
    pd.testing.assert_frame_equal(references(read_results(one)), references(read_results(many)))


def test_variants_that_agree_have_one_row_and_others_their_own(tmp_path: Path) -> None:
    folder = results_of(tmp_path, variants=("lr=1", "lr=2", "small patch"))
    table = references(read_results(folder))
    assert list(zip(table["model"], table["variant"], strict=True)) == [
        (BACKGROUND, "every variant"),
        (CEILING, "every variant"),
    ]
    for model in ("plain", "grand"):
        worse = {**RESIZED_0, "a": {"disc": [(2, 0, 2, 16)]}}
        end(folder, key(model, 0, variant="small patch"), FOLD_0, ceiling=worse)
    table = references(read_results(folder))
    assert list(zip(table["model"], table["variant"], strict=True)) == [
        (BACKGROUND, "every variant"),
        (CEILING, "lr=1, lr=2"),
        (CEILING, "small patch"),
    ]


def test_runs_that_are_not_done_lend_no_cases(tmp_path: Path) -> None:
    folder = results_of(tmp_path)
    for model in ("plain", "grand"):
        end(folder, key(model, 1), FOLD_1, status="diverged", reason="loss is nan", ceiling=RESIZED_1)
    assert rows(folder)[BACKGROUND]["n"] == 3
    nothing = plan(tmp_path / "nothing", [key("plain", 0)])
    assert references(read_results(nothing)).empty
    assert BACKGROUND not in leaderboard_page(read_results(nothing))


def test_where_nothing_is_resized_there_is_no_row_of_it(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", 0)])
    end(folder, key("plain", 0), FOLD_0)
    assert list(rows(folder)) == [BACKGROUND]
    page = leaderboard_page(read_results(folder))
    assert "`all background` predicts nothing" in page
    assert CEILING not in page


def test_a_distance_of_the_resized_truth_stands_in_its_column_and_nothing_has_none(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", 0)], metrics=("hd95", "dice"))
    far = {"a": {"hd95_mm": 1.0}, "b": {"hd95_mm": 4.0}, "c": {"hd95_mm": 0.0}}
    near = {"a": {"hd95_mm": 0.0}, "b": {"hd95_mm": 1.5}, "c": {"hd95_mm": 0.0}}
    end(folder, key("plain", 0), FOLD_0, far, ceiling=RESIZED_0, ceiling_far=near)
    results = read_results(folder)
    board = with_references(leaderboard(results), results)
    assert board.set_index("model")["hd95_mm"].to_dict() == pytest.approx(
        {"plain": 5 / 3, BACKGROUND: math.nan, CEILING: 0.5}, nan_ok=True
    )
    assert "hd95" not in board


def test_on_a_board_they_stand_below_the_models_of_their_dataset_without_a_rank(tmp_path: Path) -> None:
    keys = [key(model, 0, dataset=dataset) for dataset in ("discs", "arcs") for model in ("plain", "grand")]
    folder = plan(tmp_path, keys)
    for each in keys:
        end(folder, each, FOLD_0, pretrained="weights" if each.model == "grand" else "")
    results = read_results(folder)
    board = leaderboard(results)
    together = with_references(board, results)
    assert list(together["dataset"]) == ["arcs"] * 3 + ["discs"] * 3
    assert list(together["model"]) == ["grand", "plain", BACKGROUND] * 2
    assert list(together["rank"].fillna(0)) == [1, 1, 0] * 2
    assert list(together["pretrained"]) == ["weights", "", ""] * 2
    assert together.dtypes.to_dict() == board.dtypes.to_dict()
    lines = [
        line for line in leaderboard_page(results).splitlines() if BACKGROUND in line and line.startswith("|")
    ]
    assert len(lines) == 2
    assert all(line.startswith("|  | ") for line in lines)


def test_a_run_of_resized_slices_keeps_what_its_truth_scores(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    folder, (record, _), _ = carry(
        benchmark_file, squares, tmp_path, "protocol.patch=[20, 20]", "protocol.epochs=1"
    )
    assert record
    assert "ceiling.parquet" in record.files
    run = folder.run(record.key)
    counts = ["tp", "fp", "fn", "tn"]
    ceiling, cases = (
        pd.read_parquet(run.path / f"{name}.parquet").set_index("case") for name in ("ceiling", "cases")
    )
    assert (ceiling["tp"] + ceiling["fn"] == cases["tp"] + cases["fn"]).all()
    assert (ceiling[counts].sum(axis=1) == 3 * 32 * 32).all()
    dice = 2 * ceiling["tp"] / (2 * ceiling["tp"] + ceiling["fp"] + ceiling["fn"])
    assert ((dice > 0.7) & (dice < 1)).all()
    board = (folder.path / "leaderboard.md").read_text()
    assert "| truth, resized | default |" in board
    assert np.isfinite(rows(folder)[CEILING]["dice"])
