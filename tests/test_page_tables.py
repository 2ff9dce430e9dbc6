"""Tables of a page: planned rows and columns, regions, bold values, and no column for a single model."""

from __future__ import annotations

from pathlib import Path

import pytest
from handmade import FOLD_0, FOLD_1, Scans, Slices, change_manifest, end, key, plan, two_models
from test_page import page_of, tables_of

from benchbench.records.folder import ResultsFolder

pytestmark = pytest.mark.usefixtures("without_figures", "without_statistics")

FOLD_BY_MODEL = {"rows": "fold", "columns": "model", "value": "dice", "aggregate": "case"}
LISTING = {"title": "Losses", "rows": "model", "lines": {}, "columns": {"model": "model", "loss": "train_loss"}}
# Dice of region core: 4/8 in case a, 1 in case b; of region rim: 0 and 1
TWO_REGIONS = {
    "a": {"core": [(2, 2, 2, 10)], "rim": [(0, 0, 4, 12)]},
    "b": {"core": [(4, 0, 0, 12)], "rim": [(4, 0, 0, 12)]},
}


def test_planned_rows_and_columns_stay_on_the_page_without_their_runs(tmp_path: Path) -> None:
    keys = [key(model, fold) for fold in (0, 1) for model in ("plain", "grand")]
    folder = plan(tmp_path, keys, tables=[FOLD_BY_MODEL], listings=[LISTING], settings={"default": {}})
    end(folder, key("plain", 0), FOLD_0)
    tables = tables_of(page_of(folder))
    assert [(row["model"], row["runs"]) for row in tables["Leaderboard on discs"]] == [
        ("plain", "1 of 2"),
        ("grand", "0 of 2"),
        ("all background", ""),
    ]
    folds = tables["Dice on discs, fold by fold"]
    assert [(row["row"], row["fold 0"], row["fold 1"]) for row in folds] == [
        ("plain", "0.8333", ""),
        ("grand", "", ""),
    ]
    pivot = tables["dice (mean over cases), fold by model"]
    assert [list(row.values()) for row in pivot] == [
        ["0", "0.8333", ""],
        ["1", "", ""],
        ["mean", "", ""],
        ["sd", "", ""],
    ]
    assert tables["Losses"] == [{"model": "plain", "loss": ""}, {"model": "grand", "loss": ""}]
    assert [(row["model"], row["runs"]) for row in tables["Cost of every row"]] == [("grand", "0"), ("plain", "1")]
    assert len(tables["Cost of every run"]) == 4
    page = (folder.path / "index.html").read_text()
    assert "--only dataset=discs,model=grand</pre>" in page  # the command of a row that is not run yet


def test_a_benchmark_without_a_run_has_its_planned_tables_on_the_page(tmp_path: Path) -> None:
    tables = tables_of(page_of(plan(tmp_path, [key("plain", 0), key("grand", 0)], tables=[FOLD_BY_MODEL])))
    assert [(row["model"], row["dice"], row["runs"]) for row in tables["Leaderboard on discs"]] == [
        ("grand", "", "0 of 1"),
        ("plain", "", "0 of 1"),
    ]
    assert [row["row"] for row in tables["Sensitivity on discs, fold by fold"]] == ["plain", "grand"]
    assert set(tables["dice (mean over cases), fold by model"][0]) == {"fold", "plain", "grand"}


def regions_of(path: Path) -> ResultsFolder:
    folder = plan(path, [key("plain", 0), key("grand", 0)], metrics=["dice", "iou"])
    end(folder, key("plain", 0), TWO_REGIONS)
    return folder


def test_every_region_has_a_column_in_a_table_of_the_page(tmp_path: Path) -> None:
    tables = tables_of(page_of(regions_of(tmp_path)))
    assert tables["Dice on discs by region"] == [
        {"row": "plain", "core": "0.7500", "rim": "0.5000", "mean": "0.6250"},
        {"row": "grand", "core": "", "rim": "", "mean": ""},
    ]
    # the IoU of the core is 1/3 in case a and 1 in case b
    assert tables["IoU on discs by region"][0] == {
        "row": "plain",
        "core": "0.6667",
        "rim": "0.5000",
        "mean": "0.5833",
    }


def test_a_dataset_of_one_region_has_no_table_of_regions(tmp_path: Path) -> None:
    assert "by region" not in page_of(two_models(tmp_path))


def test_the_best_values_of_a_table_are_bold_on_the_page(tmp_path: Path) -> None:
    page = page_of(two_models(tmp_path, tables=[{**FOLD_BY_MODEL, "bold": "row", "decimals": 6}]))
    # grand is perfect; the standard deviation is not compared
    assert page.count("<strong>1.000000</strong>") == 3
    assert "0.833333" in page


def variants_of_one_model(path: Path) -> ResultsFolder:
    keys = [key("plain", fold, variant=variant) for variant in ("slow", "fast") for fold in (0, 1)]
    folder = plan(path, keys)
    for run in keys:
        scans = (FOLD_0, FOLD_1)[run.fold]
        end(folder, run, scans if run.variant == "slow" else corrected(scans))
    return folder


def corrected(scans: Scans) -> Scans:
    """Return the same references with perfect predictions."""
    perfect: dict[str, dict[str, Slices]] = {}
    for case, regions in scans.items():
        of_case = perfect.setdefault(case, {})
        for region, slices in regions.items():
            of_case[region] = [(tp + fn, 0, 0, tn + fp) for tp, fp, fn, tn in slices]
    return perfect


def test_a_single_model_has_no_column_where_variants_name_the_rows(tmp_path: Path) -> None:
    folder = variants_of_one_model(tmp_path)
    tables = tables_of(page_of(folder))
    board = tables["Leaderboard on discs"]
    assert [row["variant"] for row in board] == ["fast", "slow", "all background"]
    assert all("model" not in row for row in (*board, *tables["Cost of every row"], *tables["Cost of every run"]))
    markdown = (folder.path / "leaderboard.md").read_text()
    assert "| rank | dataset | variant | runs |" in markdown
    assert "|  | discs | all background |" in markdown
    assert "model" not in (folder.path / "leaderboard.tex").read_text()
    assert "rank,dataset,model,variant," in (folder.path / "leaderboard.csv").read_text()


def test_reference_rows_of_some_variants_name_them_where_the_model_has_no_column(tmp_path: Path) -> None:
    folder = variants_of_one_model(tmp_path)
    scores = folder.read_manifest().model_dump(mode="json")["scores"]
    change_manifest(folder, scores={**scores, "fast": {**scores["fast"], "empty": "nnunet"}})
    board = tables_of(page_of(folder))["Leaderboard on discs"]
    assert [row["variant"] for row in board[2:]] == ["all background (slow)", "all background (fast)"]


def test_deviations_are_on_the_page_without_printed_tables_too(tmp_path: Path) -> None:
    page = page_of(two_models(tmp_path, deviations=["Slices are rotated."]))
    assert "<dt>Known deviation</dt>" in page
    assert "Slices are rotated." in page
    assert 'id="reproduction"' not in page


def test_two_models_keep_their_column(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    board = tables_of(page_of(folder))["Leaderboard on discs"]
    assert [row["model"] for row in board] == ["grand", "plain", "all background"]
