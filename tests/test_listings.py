from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from handmade import FOLD_0, FOLD_1, end, key, plan, select_on_test_set

from benchbench.records.folder import ResultsFolder
from benchbench.report import write_report
from benchbench.tables.listings import LabelledTable, as_text, listing_tables
from benchbench.tables.results import read_results

pytestmark = pytest.mark.usefixtures("without_figures")

SETTINGS = {
    "slow": {"protocol.optimizer.lr": 1e-05, "models.plain.norm=batch": True},
    "fast": {"protocol.optimizer.lr": 0.1, "models.plain.norm=batch": False},
}
BY_VARIANT = {
    "title": "Losses",
    "rows": "variant",
    "lines": {},
    "columns": {
        "batch_norm": "models.plain.norm=batch",
        "lr": "protocol.optimizer.lr",
        "train_loss": "train_loss",
        "dice_percent": "dice_percent",
        "parameters": "parameters",
        "as_keras": "parameters_with_statistics",
        "input": "input",
    },
}
BY_METRIC = {
    "title": "Parts",
    "rows": None,
    "lines": {"loss": "loss", "dice": "dice_pooled"},
    "columns": {"metric": "metric", "train": "train_{metric}", "validation": "validation_{metric}"},
}
VALUES = {
    "train_loss": 0.5,
    "validation_loss": 0.75,
    "train_dice_pooled": 0.25,
    "validation_dice_pooled": 0.125,
    "input": "8x8x1",
}


def folder_of(path: Path, *listings: dict[str, Any], optimistic: str = "") -> ResultsFolder:
    keys = [key("plain", fold, variant=variant) for variant in ("slow", "fast") for fold in (0, 1)]
    folder = plan(path, keys, listings=list(listings), settings=SETTINGS)
    for run in keys:
        values = {**VALUES, "train_loss": 0.5 + run.fold}
        end(folder, run, (FOLD_0, FOLD_1)[run.fold], shown=values)
    select_on_test_set(folder, optimistic)
    return folder


def tables_of(folder: ResultsFolder) -> list[LabelledTable]:
    return list(listing_tables(read_results(folder)))


def test_a_line_has_its_settings_and_the_means_over_its_runs(tmp_path: Path) -> None:
    (table,) = tables_of(folder_of(tmp_path, BY_VARIANT))
    assert table.labels == ("batch_norm", "lr")
    assert table.frame.columns.tolist() == list(BY_VARIANT["columns"])
    dice = pytest.approx(100 * (5 / 6 + 2 / 9) / 2)
    assert table.frame.to_numpy().tolist() == [
        ["true", "1e-05", 1.0, dice, 1234, 1250, "8x8x1"],
        ["false", "0.1", 1.0, dice, 1234, 1250, "8x8x1"],
    ]


def test_an_axis_without_a_column_has_a_table_for_each_value(tmp_path: Path) -> None:
    slow, fast = tables_of(folder_of(tmp_path, BY_METRIC))
    assert (slow.name, slow.title, slow.where) == ("listing-1-slow", "Parts, variant slow", {"variant": "slow"})
    assert fast.frame.to_numpy().tolist() == [["loss", 1.0, 0.75], ["dice", 0.25, 0.125]]


def test_a_listing_may_include_only_some_values_of_an_axis(tmp_path: Path) -> None:
    of_fast = {"where": {"variant": ["fast"]}}
    rows, points = tables_of(folder_of(tmp_path, {**BY_VARIANT, **of_fast}, {**BY_METRIC, **of_fast}))
    assert rows.frame["lr"].tolist() == ["0.1"]
    assert (points.name, points.where) == ("listing-2-fast", {"variant": "fast"})


def test_the_best_of_a_column_is_bold_among_lines_of_the_same_metric(tmp_path: Path) -> None:
    columns = {"variant": "variant", "metric": "metric", "train": "train_{metric}", "parameters": "parameters"}
    spec = {**BY_METRIC, "rows": "variant", "columns": columns, "bold": "column", "decimals": 6}
    folder = folder_of(tmp_path, spec)
    for fold, scans in enumerate((FOLD_0, FOLD_1)):
        better = {**VALUES, "train_loss": 0.5, "train_dice_pooled": 0.75}
        end(folder, key("plain", fold, variant="fast"), scans, shown=better, parameters=12)
    (table,) = tables_of(folder)
    # lines: slow loss 1.0, slow dice 0.25, fast loss 0.5, fast dice 0.75; no size is better than another
    assert table.style.best == {(2, 2), (3, 2)}
    write_report(folder)
    assert "| fast | loss | **0.500000** | 12 |" in (folder.path / "tables" / "listing-1.md").read_text()


def test_a_value_is_empty_while_a_run_of_its_line_lacks_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, BY_VARIANT)
    end(folder, key("plain", 1, variant="slow"), None, status="failed", reason="out of memory")
    end(folder, key("plain", 1, variant="fast"), FOLD_1, shown={})
    slow, fast = tables_of(folder)[0].frame.to_dict("records")
    assert pd.isna([slow["train_loss"], slow["dice_percent"], slow["parameters"]]).all()
    assert math.isnan(fast["train_loss"])
    assert fast["parameters"] == 1234


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"name": "plateau", "factor": 0.2, "min_lr": 1e-6}, "plateau, factor 0.2, min_lr 1e-06"),
        ({"patience": 5}, "patience 5"),
        (["t1ce", "flair"], "t1ce flair"),
        (None, "none"),
    ],
)
def test_a_setting_that_is_a_table_or_a_list_is_printed_in_words(setting: object, text: str) -> None:
    assert as_text(setting) == text


def test_selection_on_the_test_set_is_marked(tmp_path: Path) -> None:
    (table,) = tables_of(folder_of(tmp_path, BY_VARIANT, optimistic="fast"))
    assert table.frame["selection"].tolist() == ["", "optimistic selection"]


def test_a_listing_is_written_as_markdown_and_csv(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, BY_VARIANT)
    write_report(folder)
    assert (folder.path / "tables" / "listing-1.md").read_text().startswith("**Losses**\n\n| batch_norm | lr |")
    lines = (folder.path / "tables" / "listing-1.csv").read_text().splitlines()
    assert lines[1].startswith("true,1e-05,1.000000,")
    assert lines[1].endswith(",1234,1250,8x8x1,real")
