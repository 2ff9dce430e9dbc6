from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from handmade import FOLD_0, FOLD_1, PERFECT_0, PERFECT_1, end, key, plan, select_on_test_set, two_models

from benchbench.errors import IntegrityError
from benchbench.records.folder import ResultsFolder
from benchbench.tables.cost_tables import cost_table
from benchbench.tables.folds import fold_table
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.pivots import pivot_tables
from benchbench.tables.references import with_references
from benchbench.tables.results import RunLines, read_results
from benchbench.tables.summaries import (
    MEAN_REGION,
    CountTables,
    summaries,
    summaries_of,
    summary_table,
    unmeasured,
)


def row(table: pd.DataFrame, **where: object) -> dict[str, Any]:
    for name, value in where.items():
        table = table[table[name] == value]
    (line,) = table.to_dict("records")
    return line


def near(line: Mapping[str, Any], **expected: float) -> bool:
    return {name: line[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_every_aggregate_has_the_value_worked_out_by_hand(tmp_path: Path) -> None:
    summary = summary_table(read_results(two_models(tmp_path)))
    named = {"model": "plain", "metric": "dice", "region": "disc"}
    assert near(
        row(summary, **named, aggregate="case"),
        mean=(1 + 1 / 2 + 1 + 2 / 3 + 0 + 0) / 6,
        median=(1 / 2 + 2 / 3) / 2,
        fold_mean=(5 / 6 + 2 / 9) / 2,
        fold_sd=(5 / 6 - 2 / 9) / math.sqrt(2),
        dice_pos=(1 + 1 / 2 + 2 / 3 + 0) / 4,
        n=6,
        n_ref_empty=2,
        n_nan=0,
        runs_done=2,
        runs_planned=2,
    )
    assert near(
        row(summary, **named, aggregate="slice"),
        mean=(1 + 1 + 2 / 3 + 0 + 1 + 1 + 3 / 4 + 1 / 2 + 0 + 1 + 0 + 0) / 12,
        median=(2 / 3 + 3 / 4) / 2,
        fold_mean=(7 / 9 + 3 / 8) / 2,
        fold_sd=(7 / 9 - 3 / 8) / math.sqrt(2),
        dice_pos=(1 + 2 / 3 + 0 + 3 / 4 + 1 / 2 + 0 + 0) / 7,
        n=12,
        n_ref_empty=5,
        n_nan=0,
    )
    assert near(
        row(summary, **named, aggregate="pooled"),
        mean=20 / (20 + 5 + 9),
        median=math.nan,
        fold_mean=(12 / 16 + 8 / 18) / 2,
        fold_sd=(12 / 16 - 8 / 18) / math.sqrt(2),
        dice_pos=(1 + 1 / 2 + 2 / 3 + 0) / 4,
        n=6,
        n_ref_empty=2,
        n_nan=0,
    )


def test_an_undefined_score_is_left_out_and_counted(tmp_path: Path) -> None:
    line = row(
        summary_table(read_results(two_models(tmp_path))),
        model="plain",
        metric="sensitivity",
        aggregate="case",
        region="mean",
    )
    assert near(line, mean=(1 + 1 / 2 + 4 / 6 + 0) / 4, n=6, n_nan=2, fold_mean=(3 / 4 + 1 / 3) / 2)


@pytest.mark.parametrize(
    ("empty", "mean"),
    [
        ("score", 19 / 36),
        ("brats", 19 / 36),
        ("nnunet", 13 / 30),
        ("monai", 13 / 24),
        ("stratify", 13 / 24),
        ("zero", 13 / 36),
    ],
)
def test_the_rule_for_empty_masks_is_applied_to_stored_counts(tmp_path: Path, empty: str, mean: float) -> None:
    board = leaderboard(read_results(two_models(tmp_path, empty=empty)))
    assert near(row(board, model="plain"), dice=mean, dice_pos=13 / 24, n=6, n_ref_empty=2)


def test_a_row_of_the_fold_table_has_the_values_of_its_run(tmp_path: Path) -> None:
    line = row(fold_table(read_results(two_models(tmp_path))), model="plain", fold=1)
    assert near(line, dice=2 / 9, dice_slice=3 / 8, dice_pooled=8 / 18, sensitivity=1 / 3, dice_pos=1 / 3)
    assert near(line, n_cases=3, n_ref_empty=1, parameters=1234, epochs=5, best_epoch=3)
    assert (line["status"], line["reason"], line["data"]) == ("done", "", "real")
    assert (line["digest"], line["data_digest"], line["split_digest"]) == ("digest of di", "data", "fold 1")


def test_every_planned_run_is_a_row_however_it_ended(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", fold) for fold in range(4)])
    end(folder, key("plain", 0), None, status="failed", reason="out of memory", parameters=None, best_epoch=None)
    end(folder, key("plain", 1), FOLD_0, status="diverged", reason="loss is nan")
    end(folder, key("plain", 2), FOLD_1)
    folds = fold_table(read_results(folder))
    assert list(folds["status"]) == ["failed", "diverged", "done", "not run"]
    assert list(folds["reason"]) == ["out of memory", "loss is nan", "", ""]
    assert list(folds["dice"]) == pytest.approx([math.nan, 5 / 6, 2 / 9, math.nan], nan_ok=True)
    scores = [f"{metric}{kind}" for metric in ("dice", "sensitivity") for kind in ("", "_slice", "_pooled")]
    first = ["dataset", "model", "variant", "fold", "seed", "status", "reason", "n_cases", "n_ref_empty"]
    last = ["parameters", "epochs", "best_epoch", "digest", "data_digest", "split_digest", "data"]
    assert list(folds.columns) == [*first, *scores, "dice_pos", *last]


def test_a_run_that_diverged_is_not_averaged_and_its_model_has_no_rank(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    end(folder, key("grand", 1), PERFECT_1, status="diverged", reason="loss is nan")
    board = leaderboard(read_results(folder))
    assert list(board["model"]) == ["grand", "plain"]
    assert list(board["runs"]) == ["1 of 2", "2 of 2"]
    assert board["rank"].isna().tolist() == [True, False]
    assert near(row(board, model="grand"), dice=1.0, n=3, fold_sd=math.nan)
    assert near(row(board, model="plain"), rank=1)


def test_a_record_of_another_digest_counts_as_not_run(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    end(folder, key("plain", 1), FOLD_1, digest="digest of an older protocol")
    folds = fold_table(read_results(folder))
    assert row(folds, model="plain", fold=1)["status"] == "not run"
    assert near(row(leaderboard(read_results(folder)), model="plain"), dice=5 / 6, n=3)


@pytest.mark.parametrize(
    ("models", "change"),
    [
        (["plain"], {"data_digest": "older"}),
        (["plain", "grand"], {"data_digest": "older"}),
        (["plain"], {"split_digest": "another"}),
    ],
)
def test_runs_on_different_files_or_folds_are_not_ranked(
    tmp_path: Path, models: list[str], change: dict[str, str]
) -> None:
    folder = two_models(tmp_path)
    assert list(leaderboard(read_results(folder))["rank"]) == [1, 2]
    for model in models:
        end(folder, key(model, 1), FOLD_1, **change)
    assert leaderboard(read_results(folder))["rank"].isna().all()


def test_equal_models_share_a_rank_and_each_dataset_has_its_own_first(tmp_path: Path) -> None:
    places = [("discs", "one"), ("discs", "two"), ("discs", "three"), ("discs", "four"), ("rings", "two")]
    folder = plan(tmp_path, [key(model, 0, dataset=dataset) for dataset, model in places])
    for (dataset, model), scans in zip(places, (FOLD_0, FOLD_0, PERFECT_0, FOLD_1, FOLD_0), strict=True):
        end(folder, key(model, 0, dataset=dataset), scans)
    board = leaderboard(read_results(folder))
    ranks = list(board[["dataset", "model", "rank"]].itertuples(index=False, name=None))
    discs = [("discs", "three", 1), ("discs", "one", 2), ("discs", "two", 2), ("discs", "four", 4)]
    assert ranks == [*discs, ("rings", "two", 1)]


def test_rows_of_equal_scores_are_in_the_order_of_the_numbers_in_their_names(tmp_path: Path) -> None:
    names = [("set10", "unet_10"), ("set10", "unet_9"), ("set2", "unet_10"), ("set2", "unet_9")]
    variants = ("epochs=10", "epochs=5")
    keys = [key(model, 0, dataset=dataset, variant=variant) for dataset, model in names for variant in variants]
    folder = plan(tmp_path, keys)
    for run in keys:
        end(folder, run, FOLD_0)
    results = read_results(folder)
    board = leaderboard(results)
    rows = list(board[["dataset", "model", "variant"]].itertuples(index=False, name=None))
    of_set = [(model, variant) for model in ("unet_9", "unet_10") for variant in ("epochs=5", "epochs=10")]
    assert rows == [*(("set2", *row) for row in of_set), *(("set10", *row) for row in of_set)]
    assert list(with_references(board, results)["dataset"].drop_duplicates()) == ["set2", "set10"]
    assert list(fold_table(results)[["dataset", "model", "variant"]].itertuples(index=False, name=None)) == rows


def test_variants_scored_by_different_rules_are_not_ranked_against_each_other(tmp_path: Path) -> None:
    scores = {
        "default": {"metrics": ["dice"], "empty": "score", "select_on": "validation"},
        "other": {"metrics": ["dice"], "empty": "zero", "select_on": "validation"},
        "third": {"metrics": ["iou"], "empty": "score", "select_on": "validation"},
    }
    keys = [key("plain", 0, variant=variant) for variant in scores]
    folder = plan(tmp_path, keys, scores=scores)
    for run in keys:
        end(folder, run, FOLD_0)
    assert list(leaderboard(read_results(folder))["rank"]) == [1, 1, 1]


def test_the_mean_over_regions_is_taken_run_by_run(tmp_path: Path) -> None:
    hit, miss = [(1, 0, 0, 9)], [(0, 0, 1, 9)]
    folder = plan(tmp_path, [key("plain", 0), key("plain", 1)], metrics=["dice"])
    end(folder, key("plain", 0), {"a": {"rim": hit, "core": miss}, "b": {"rim": hit, "core": [(0, 0, 0, 10)]}})
    end(folder, key("plain", 1), {"c": {"rim": miss, "core": hit}})
    results = read_results(folder)
    folds, summary = fold_table(results), summary_table(results)
    assert near(row(folds, fold=0), **{"dice": 3 / 4, "dice:rim": 1, "dice:core": 1 / 2, "n_cases": 2})
    cases = summary[summary["aggregate"] == "case"]
    assert list(cases["region"]) == ["mean", "rim", "core"]
    assert near(row(cases, region="rim"), mean=2 / 3, fold_sd=1 / math.sqrt(2), n_ref_empty=0)
    assert near(row(cases, region="core"), mean=2 / 3, fold_sd=1 / 2 / math.sqrt(2), n_ref_empty=1)
    mean = row(cases, region="mean")
    assert near(mean, mean=2 / 3, fold_mean=5 / 8, fold_sd=1 / 4 / math.sqrt(2), n=3, n_ref_empty=1)


def test_a_case_scored_under_two_seeds_is_one_case(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", 0, seed=seed) for seed in (3, 8)])
    end(folder, key("plain", 0, seed=3), FOLD_0)
    end(folder, key("plain", 0, seed=8), {**FOLD_0, "b": {"disc": [(4, 0, 0, 6), (0, 0, 0, 10)]}})
    board = row(leaderboard(read_results(folder)), model="plain")
    assert near(board, n=3, n_ref_empty=1, dice=(5 / 2 + 3) / 6, fold_sd=(1 - 5 / 6) / math.sqrt(2))


def test_tables_of_a_benchmark_without_finished_runs_have_no_scores(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", 0), key("plain", 1)])
    end(folder, key("plain", 0), None, status="failed", reason="out of memory")
    results = read_results(folder)
    assert list(fold_table(results)["status"]) == ["failed", "not run"]
    assert summary_table(results).empty
    (line,) = leaderboard(results).to_dict("records")
    assert line["runs"] == "0 of 2"
    assert math.isnan(line["dice"])
    assert pd.isna(line["rank"])


def test_names_that_look_like_numbers_or_missing_values_stay_texts(tmp_path: Path) -> None:
    names = ["001", "1e5", "NA"]
    folder = plan(tmp_path, [key(name, 0, dataset="007") for name in names])
    for name in names:
        end(folder, key(name, 0, dataset="007"), {"01": FOLD_0["b"], "1": FOLD_0["b"], "nan": FOLD_0["b"]})
    results = read_results(folder)
    assert sorted(results.cases["case"].unique()) == ["01", "1", "nan"]
    assert list(fold_table(results)["model"]) == names
    assert list(fold_table(results)["n_cases"]) == [3, 3, 3]
    assert set(leaderboard(results)["dataset"]) == {"007"}


FAR_0 = {"a": {"hd95_mm": 1.0}, "b": {"hd95_mm": 4.0}, "c": {"hd95_mm": 0.0}}
FAR_1 = {"d": {"hd95_mm": 2.0}, "e": {"hd95_mm": 30.0}, "f": {"hd95_mm": 30.0}}  # e and f: one mask is empty
NEAR = {case: {"hd95_mm": 0.5} for case in "abcdef"}


def measured(path: Path, *, metrics: Sequence[str] = ("hd95", "dice"), **options: Any) -> ResultsFolder:
    folder = plan(
        path, [key(model, fold) for fold in (0, 1) for model in ("plain", "grand")], metrics=metrics, **options
    )
    for fold, scans, far in ((0, FOLD_0, FAR_0), (1, FOLD_1, FAR_1)):
        end(folder, key("plain", fold), scans, far)
        end(folder, key("grand", fold), scans, NEAR)
    return folder


def test_a_lower_distance_is_better_and_only_whole_cases_have_one(tmp_path: Path) -> None:
    results = read_results(measured(tmp_path))
    board = leaderboard(results)
    assert list(board["model"]) == ["grand", "plain"]
    assert list(board["rank"]) == [1, 2]
    assert list(board["hd95_mm"]) == pytest.approx([0.5, 67 / 6])
    assert "hd95" not in board
    summary = summary_table(results)
    distances = summary[(summary["metric"] == "hd95_mm") & (summary["model"] == "plain")]
    assert list(distances["aggregate"].unique()) == ["case"]
    line = row(distances, region="disc")
    assert near(line, mean=67 / 6, median=3, n=6, n_ref_empty=2, n_penalised=2, n_nan=0)
    assert near(line, fold_mean=(5 / 3 + 62 / 3) / 2)
    assert near(row(fold_table(results), model="plain", fold=0), hd95_mm=5 / 3, dice=5 / 6, n_cases=3)


def test_a_penalty_counts_where_exactly_one_mask_is_empty(tmp_path: Path) -> None:
    miss, false_alarm, both_empty, hit = (0, 0, 2, 8), (0, 2, 0, 8), (0, 0, 0, 10), (2, 0, 0, 8)
    folder = plan(tmp_path, [key("plain", 0)], metrics=["dice"])
    counts = (miss, false_alarm, false_alarm, both_empty, hit)
    end(folder, key("plain", 0), {f"case{at}": {"disc": [four]} for at, four in enumerate(counts)})
    line = row(summary_table(read_results(folder)), aggregate="case", region="disc")
    assert near(line, n=5, n_ref_empty=3, n_penalised=3)


def test_a_rule_that_leaves_out_empty_references_leaves_out_their_distances(tmp_path: Path) -> None:
    results = read_results(measured(tmp_path, empty="monai"))
    summary = summary_table(results)
    line = row(summary, model="plain", metric="hd95_mm", region="disc")
    assert near(line, mean=(1 + 4 + 2 + 30) / 4, n=6, n_nan=2)  # without c and e


def test_millimetres_and_pixels_are_never_averaged(tmp_path: Path) -> None:
    folder = measured(tmp_path)
    mixed = {"d": {"hd95_mm": None, "hd95_px": 7.0}, "e": {"hd95_mm": 3.0}, "f": {"hd95_mm": 5.0}}
    end(folder, key("plain", 1), FOLD_1, {case: {"hd95_px": None, **far} for case, far in mixed.items()})
    results = read_results(folder)
    lines = summary_table(results)
    lines = lines[(lines["model"] == "plain") & (lines["region"] == "disc")]
    assert near(row(lines, metric="hd95_mm"), mean=13 / 5, n=5)
    assert near(row(lines, metric="hd95_px"), mean=7, n=1)
    plain = row(leaderboard(results), model="plain")
    assert pd.isna(plain["rank"])
    assert near(plain, hd95_mm=13 / 5, hd95_px=7)


def test_a_distance_that_some_runs_lack_has_no_mean_over_the_others(tmp_path: Path) -> None:
    folder = measured(tmp_path)
    end(folder, key("plain", 1), FOLD_1)
    results = read_results(folder)
    assert unmeasured(results) == {"hd95": 1}
    board = leaderboard(results)
    assert list(board["model"]) == ["grand", "plain"]
    assert list(board["rank"].isna()) == [False, True]
    assert math.isnan(row(board, model="plain")["hd95_mm"])
    assert near(row(fold_table(results), model="plain", fold=0), hd95_mm=5 / 3)


def test_a_pivot_is_empty_where_a_run_is_not_done_and_so_are_mean_and_sd(tmp_path: Path) -> None:
    pivot = {"rows": "fold", "columns": "model", "value": "dice", "aggregate": "case"}
    folds = (FOLD_0, FOLD_1, {"g": {"disc": [(1, 0, 0, 9)]}})  # 5/6, 2/9 and 1
    runs = [key(model, fold, seed=seed) for model in ("plain", "grand") for fold in range(3) for seed in (0, 1)]
    folder = plan(tmp_path, runs, tables=[pivot])
    for run in runs:
        is_last_plain = (run.model, run.fold, run.seed) == ("plain", 1, 1)
        end(folder, run, folds[run.fold], status="diverged" if is_last_plain else "done")
    ((_, _, cells, *_),) = pivot_tables(read_results(folder))
    assert cells["fold"].tolist() == ["0", "1", "2", "mean", "sd"]
    nan = math.nan
    assert cells["plain"].tolist() == pytest.approx([5 / 6, nan, 1, nan, nan], nan_ok=True)
    values = [5 / 6, 2 / 9, 1]
    mean = sum(values) / 3
    sd = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
    assert cells["grand"].tolist() == pytest.approx([*values, mean, sd])


def test_a_pivot_of_a_distance_is_named_with_its_unit(tmp_path: Path) -> None:
    table = {"rows": "fold", "columns": "model", "value": "hd95", "aggregate": "case"}
    ((name, title, cells, *_),) = pivot_tables(read_results(measured(tmp_path, tables=[table])))
    assert name == "1-hd95_mm-fold-by-model"
    assert title == "T: hd95_mm (mean over cases), fold by model"
    assert list(cells["plain"][:2]) == pytest.approx([5 / 3, 62 / 3])


def test_a_pretrained_model_is_marked_in_every_table(tmp_path: Path) -> None:
    pivot = {"rows": "fold", "columns": "model", "value": "dice", "aggregate": "case"}
    runs = [key(model, fold) for fold in (0, 1) for model in ("plain", "grand")]
    folder = plan(tmp_path, runs, tables=[pivot])
    for run in runs:
        end(folder, run, PERFECT_0, pretrained="resnet34 imagenet" if run.model == "grand" else "")
    results = read_results(folder)
    for table in (fold_table(results), cost_table(results), summary_table(results), leaderboard(results)):
        starts = table.groupby("model")["pretrained"].unique()
        assert {name: list(values) for name, values in starts.items()} == {
            "grand": ["resnet34 imagenet"],
            "plain": [""],
        }
    ((_, _, table, *_),) = pivot_tables(results)
    assert list(table.columns) == ["fold", "plain", "grand (pretrained)"]


def test_the_mark_of_an_ensemble_comes_before_other_marks(tmp_path: Path) -> None:
    pivot = {"rows": "fold", "columns": "model", "value": "dice", "aggregate": "case", "sd": False}
    runs = [key(model, 0) for model in ("plain", "both")]
    rules = {"metrics": ["dice"], "empty": "score", "select_on": "report"}
    folder = plan(tmp_path, runs, tables=[pivot], ensembles={"both": "plain, grand"}, scores={"default": rules})
    end(folder, runs[0], FOLD_0)
    end(folder, runs[1], PERFECT_0, pretrained="resnet34 imagenet", parameters=2468, epochs=0, best_epoch=None)
    results = read_results(folder)
    for table in (fold_table(results), cost_table(results), summary_table(results), leaderboard(results)):
        after_variant = table.columns[list(table.columns).index("variant") + 1 :]
        assert list(after_variant[:3]) == ["ensemble_of", "pretrained", "selection"]
        marks = table.groupby("model")["ensemble_of"].unique()
        assert {name: list(values) for name, values in marks.items()} == {"both": ["plain, grand"], "plain": [""]}
    assert leaderboard(results).set_index("model")["rank"].to_dict() == {"both": 1, "plain": 2}
    ((_, _, table, *_),) = pivot_tables(results)
    assert list(table.columns) == [
        "fold",
        "plain (optimistic selection)",
        "both (ensemble) (pretrained) (optimistic selection)",
    ]
    assert table["fold"].tolist() == ["0", "mean"]


def test_tables_without_pretrained_models_have_no_column_for_them(tmp_path: Path) -> None:
    results = read_results(two_models(tmp_path))
    assert "pretrained" not in fold_table(results)
    assert "pretrained" not in leaderboard(results)


def optimistic(folder: ResultsFolder, variant: str) -> ResultsFolder:
    select_on_test_set(folder, variant)
    return folder


def test_selection_on_the_test_set_is_marked_and_ranked_separately(tmp_path: Path) -> None:
    keys = [key("plain", fold, variant=variant) for variant in ("honest", "dreamy") for fold in (0, 1)]
    folder = plan(
        tmp_path, keys, tables=[{"rows": "fold", "columns": "variant", "value": "dice", "aggregate": "case"}]
    )
    for run in keys:
        scans = (FOLD_0, FOLD_1) if run.variant == "honest" else (PERFECT_0, PERFECT_1)
        end(folder, run, scans[run.fold])
    results = read_results(optimistic(folder, "dreamy"))
    board = leaderboard(results)
    assert list(zip(board["variant"], board["rank"], board["selection"], strict=True)) == [
        ("dreamy", 1, "optimistic selection"),
        ("honest", 1, ""),
    ]
    for table in (fold_table(results), summary_table(results), cost_table(results)):
        assert set(table.loc[table["variant"] == "dreamy", "selection"]) == {"optimistic selection"}
        assert set(table.loc[table["variant"] == "honest", "selection"]) == {""}
    ((_, _, pivot, *_),) = pivot_tables(results)
    assert list(pivot.columns) == ["fold", "honest", "dreamy (optimistic selection)"]


def test_a_pivot_without_variants_has_selection_on_the_test_set_in_its_title(tmp_path: Path) -> None:
    table = {"rows": "fold", "columns": "dataset", "value": "dice", "aggregate": "case"}
    folder = optimistic(two_models(tmp_path, tables=[table]), "default")
    assert all(pivot.title.endswith(", optimistic selection") for pivot in pivot_tables(read_results(folder)))


def forge(folder: ResultsFolder, name: str, **columns: Any) -> None:
    """Change columns of a recorded table, and correct its digest."""
    run = folder.run(key("plain", 0))
    record = run.read_record()
    assert record is not None
    table = run.read_table(name, record).to_pandas().assign(**columns)
    run.replace_table(name, pa.Table.from_pandas(table, preserve_index=False), record)


@pytest.mark.parametrize(
    ("name", "columns", "problem"),
    [
        ("cases.parquet", {"fp": 0, "fn": 0}, "case b, region disc: differs from the sum of slices"),
        ("slices.parquet", {"tp": 3}, r"cases\.parquet: case .*: differs from the sum"),
        ("cases.parquet", {"model": "grand"}, "model is not 'plain' in every row"),
        ("cases.parquet", {"tp": -1}, "are not counts of voxels"),
        ("cases.parquet", {"tn": pd.Series([None], dtype="Int64")}, "column tn: found 3 empty cells"),
        ("slices.parquet", {"tp": 0.5}, "column tp: found double, expected integers"),
    ],
)
def test_forged_scores_are_noticed_though_their_digest_is_right(
    tmp_path: Path, name: str, columns: dict[str, Any], problem: str
) -> None:
    folder = two_models(tmp_path)
    forge(folder, name, **columns)
    with pytest.raises(IntegrityError, match=problem):
        read_results(folder)


def test_the_mean_over_regions_is_unknown_where_that_of_a_region_is() -> None:
    identity = {"fold": 0, "seed": 0, "case": "a"}
    cases = pd.DataFrame(
        [
            {**identity, "region": "disc", "tp": 2, "fp": 0, "fn": 0, "tn": 2},
            {**identity, "region": "cup", "tp": 0, "fp": 0, "fn": 0, "tn": 4},
        ]
    )
    means = {line.region: line.mean for line in summaries(cases, None, metrics=["dice"], empty="nnunet")}
    assert means["disc"] == 1
    assert math.isnan(means["cup"])
    assert math.isnan(means[MEAN_REGION])


def test_lines_of_runs_are_those_of_a_walk_over_the_table_in_its_order() -> None:
    random = np.random.default_rng(0)
    keys = [key(model, fold, seed=seed) for model in ("a", "b", "c") for fold in (0, 1) for seed in (0, 1)]
    of_line = [keys[number] for number in random.integers(len(keys) - 1, size=60)]  # the last run has no line
    table = pd.DataFrame([{**run._asdict(), "case": number} for number, run in enumerate(of_line)])
    lines = RunLines(table)
    for count in range(len(keys) + 1):
        chosen = [keys[number] for number in random.permutation(len(keys))[:count]]
        expected = [number for number, run in enumerate(of_line) if run in chosen]
        assert lines.select(chosen)["case"].tolist() == expected
    assert lines.select(iter(keys)).equals(table)
    assert lines.select([keys[-1]]).columns.tolist() == table.columns.tolist()


def test_a_shared_table_of_counts_gives_the_summaries_of_a_new_one() -> None:
    cases = pd.DataFrame(
        [
            {
                **key("a", fold)._asdict(),
                "case": case,
                "region": "r",
                "tp": tp,
                "fp": 1,
                "fn": 2,
                "tn": 9,
                "hd95_mm": mm,
            }
            for fold, case, tp, mm in ((0, "p", 4, 1.5), (0, "q", 0, 2.5), (1, "s", 7, None), (1, "t", 2, 4.0))
        ]
    )
    cases["hd95_px"] = cases["hd95_mm"].isna().map({True: 3.0, False: np.nan})
    shared = CountTables(cases, None)
    for metric in ("dice", "hd95", "iou", "hd95"):
        lines = list(summaries_of(shared, metrics=[metric], empty="score"))
        assert repr(lines) == repr(list(summaries(cases, None, metrics=[metric], empty="score")))
    by_unit = {line.metric: (line.n, line.mean) for line in summaries_of(shared, metrics=["hd95"], empty="score")}
    assert by_unit == {"hd95_mm": (3, pytest.approx(8 / 3)), "hd95_px": (1, 3.0)}
