from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from carry import carry
from handmade import FOLD_0, FOLD_1, Scans, end, key, plan

from benchbench.records.folder import ResultsFolder
from benchbench.report.leaderboard_page import leaderboard_page
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.references import BACKGROUND, UPPER_BOUND, references, with_references
from benchbench.tables.results import read_results

pytestmark = pytest.mark.usefixtures("without_figures")

METRICS = ("dice", "accuracy", "sensitivity", "specificity")
# the references of FOLD_0 and FOLD_1 after resizing: one pixel of b and one of d are lost
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
    for run in keys:
        end(folder, run, (FOLD_0, FOLD_1)[run.fold], upper_bound=(RESIZED_0, RESIZED_1)[run.fold])
    return folder


def rows(folder: ResultsFolder) -> dict[str, dict[str, Any]]:
    return {line["model"]: line for line in references(read_results(folder)).to_dict("records")}


def test_an_empty_prediction_has_the_scores_worked_out_by_hand(tmp_path: Path) -> None:
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
def test_it_is_scored_with_the_models_rule_for_empty_masks(tmp_path: Path, empty: str, dice: float) -> None:
    assert rows(results_of(tmp_path, empty=empty))[BACKGROUND]["dice"] == pytest.approx(dice)


def test_the_upper_bound_is_scored_from_its_counts(tmp_path: Path) -> None:
    line = rows(results_of(tmp_path))[UPPER_BOUND]
    assert line["dice"] == pytest.approx((1 + 6 / 7 + 1 + 10 / 11 + 1 + 1) / 6)
    assert line["sensitivity"] == pytest.approx((1 + 3 / 4 + 5 / 6 + 1) / 4)
    assert line["n"] == 6


def test_a_case_counts_once_for_any_number_of_models_and_seeds(tmp_path: Path) -> None:
    one, many = results_of(tmp_path / "one"), results_of(tmp_path / "many", seeds=(3, 4, 8))
    pd.testing.assert_frame_equal(references(read_results(one)), references(read_results(many)))


def test_variants_with_equal_scores_share_a_row(tmp_path: Path) -> None:
    folder = results_of(tmp_path, variants=("lr=1", "lr=2", "small patch"))
    table = references(read_results(folder))
    assert list(zip(table["model"], table["variant"], strict=True)) == [
        (BACKGROUND, "every variant"),
        (UPPER_BOUND, "every variant"),
    ]
    for model in ("plain", "grand"):
        worse = {**RESIZED_0, "a": {"disc": [(2, 0, 2, 16)]}}
        end(folder, key(model, 0, variant="small patch"), FOLD_0, upper_bound=worse)
    table = references(read_results(folder))
    assert list(zip(table["model"], table["variant"], strict=True)) == [
        (BACKGROUND, "every variant"),
        (UPPER_BOUND, "lr=1, lr=2"),
        (UPPER_BOUND, "small patch"),
    ]


def test_unfinished_runs_contribute_no_cases(tmp_path: Path) -> None:
    folder = results_of(tmp_path)
    for model in ("plain", "grand"):
        end(folder, key(model, 1), FOLD_1, status="diverged", reason="loss is nan", upper_bound=RESIZED_1)
    assert rows(folder)[BACKGROUND]["n"] == 3
    nothing = plan(tmp_path / "nothing", [key("plain", 0)])
    assert references(read_results(nothing)).empty
    assert BACKGROUND not in leaderboard_page(read_results(nothing))


def test_without_resizing_there_is_no_upper_bound(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", 0)])
    end(folder, key("plain", 0), FOLD_0)
    assert list(rows(folder)) == [BACKGROUND]
    page = leaderboard_page(read_results(folder))
    assert "`all background` is an empty prediction" in page
    assert UPPER_BOUND not in page


def test_the_upper_bound_has_distances_and_the_empty_prediction_has_none(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", 0)], metrics=("hd95", "dice"))
    far = {"a": {"hd95_mm": 1.0}, "b": {"hd95_mm": 4.0}, "c": {"hd95_mm": 0.0}}
    near = {"a": {"hd95_mm": 0.0}, "b": {"hd95_mm": 1.5}, "c": {"hd95_mm": 0.0}}
    end(folder, key("plain", 0), FOLD_0, far, upper_bound=RESIZED_0, upper_bound_distances=near)
    results = read_results(folder)
    board = with_references(leaderboard(results), results)
    assert board.set_index("model")["hd95_mm"].to_dict() == pytest.approx(
        {"plain": 5 / 3, BACKGROUND: math.nan, UPPER_BOUND: 0.5}, nan_ok=True
    )
    assert "hd95" not in board


def test_reference_rows_are_below_the_models_of_their_dataset_without_a_rank(tmp_path: Path) -> None:
    keys = [key(model, 0, dataset=dataset) for dataset in ("discs", "arcs") for model in ("plain", "grand")]
    folder = plan(tmp_path, keys)
    for run in keys:
        end(folder, run, FOLD_0, pretrained="weights" if run.model == "grand" else "")
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


@pytest.mark.usefixtures("without_page")
def test_a_run_of_resized_slices_records_the_upper_bound(
    benchmark_file: Path, squares: Path, tmp_path: Path
) -> None:
    folder, (record, _), _ = carry(
        benchmark_file, squares, tmp_path, "protocol.patch=[20, 20]", "protocol.epochs=1"
    )
    assert record
    assert "ceiling.parquet" in record.files
    run = folder.run(record.key)
    counts = ["tp", "fp", "fn", "tn"]
    upper_bound = pd.read_parquet(run.path / "ceiling.parquet").set_index("case")
    cases = pd.read_parquet(run.path / "cases.parquet").set_index("case")
    assert (upper_bound["tp"] + upper_bound["fn"] == cases["tp"] + cases["fn"]).all()
    assert (upper_bound[counts].sum(axis=1) == 3 * 32 * 32).all()
    dice = 2 * upper_bound["tp"] / (2 * upper_bound["tp"] + upper_bound["fp"] + upper_bound["fn"])
    assert ((dice > 0.7) & (dice < 1)).all()
    board = (folder.path / "leaderboard.md").read_text()
    assert "| truth, resized | default |" in board
    assert np.isfinite(rows(folder)[UPPER_BOUND]["dice"])
