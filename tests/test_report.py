from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from handmade import FOLD_0, FOLD_1, PERFECT_0, PERFECT_1, end, key, plan, two_models

from benchbench.errors import IntegrityError
from benchbench.report import write_report
from benchbench.report.leaderboard_page import leaderboard_page
from benchbench.report.text import plain_markdown, to_csv, to_latex, to_markdown
from benchbench.tables.pivots import pivot_tables
from benchbench.tables.results import PHANTOM_NOTE, read_results
from benchbench.tables.style import Style

pytestmark = pytest.mark.usefixtures("without_figures")

FOLD_BY_MODEL = {"rows": "fold", "columns": "model", "value": "dice", "aggregate": "case"}
MODEL_BY_DATASET = {**FOLD_BY_MODEL, "rows": "model", "columns": "dataset"}


def pivots(folder: Any) -> dict[str, pd.DataFrame]:
    return {pivot.name: pivot.table for pivot in pivot_tables(read_results(folder))}


def rows(table: pd.DataFrame) -> list[list[Any]]:
    return [list(table.columns), *table.to_numpy().tolist()]


def near(value: float) -> Any:
    return pytest.approx(value, nan_ok=True)


def files(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.suffix in {".md", ".csv", ".tex"}]
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def test_a_pivot_keeps_the_order_of_the_file_and_ends_with_mean_and_sd(tmp_path: Path) -> None:
    table = pivots(two_models(tmp_path, tables=[FOLD_BY_MODEL]))["1-dice-fold-by-model"]
    assert rows(table) == [
        ["fold", "plain", "grand"],
        ["0", near(5 / 6), 1],
        ["1", near(2 / 9), 1],
        ["mean", near((5 / 6 + 2 / 9) / 2), 1],
        ["sd", near((5 / 6 - 2 / 9) / math.sqrt(2)), 0],
    ]


def test_a_pivot_may_average_slices_or_pool_voxels(tmp_path: Path) -> None:
    tables = [{**FOLD_BY_MODEL, "aggregate": aggregate} for aggregate in ("slice", "pooled")]
    results = read_results(two_models(tmp_path, tables=tables))
    slices, pooled = pivot_tables(results)
    assert list(slices.table["plain"][:2]) == pytest.approx([7 / 9, 3 / 8])
    assert list(pooled.table["plain"][:2]) == pytest.approx([12 / 16, 8 / 18])
    assert slices.title == "T: dice (mean over slices), fold by model"
    assert pooled.name == "2-dice_pooled-fold-by-model"
    assert pooled.title == "T: dice (all voxels pooled), fold by model"


def test_the_best_value_of_a_row_or_column_is_bold_in_a_pivot(tmp_path: Path) -> None:
    tables = [{**FOLD_BY_MODEL, "bold": "row", "decimals": 2}, {**FOLD_BY_MODEL, "bold": "column"}]
    folder = two_models(tmp_path, tables=tables)
    # grand is 1.0 in every fold; the standard deviation and the mean over the same folds are not compared
    by_row, by_column = pivot_tables(read_results(folder))
    assert by_row.style.best == {(0, 2), (1, 2), (2, 2)}
    assert by_column.style.best == {(0, 1)}
    write_report(folder)
    markdown = (folder.path / "tables" / "1-dice-fold-by-model.md").read_text()
    assert (
        "| 0 | 0.83 | **1.00** |\n| 1 | 0.22 | **1.00** |\n| mean | 0.53 | **1.00** |\n| sd | 0.43 | 0.00 |"
        in markdown
    )
    assert r"mean & 0.53 & \textbf{1.00} \\" in (folder.path / "tables" / "1-dice-fold-by-model.tex").read_text()


def test_a_cell_is_the_mean_of_its_runs_and_empty_until_all_are_done(tmp_path: Path) -> None:
    folder = two_models(tmp_path, tables=[MODEL_BY_DATASET, FOLD_BY_MODEL])
    whole, _ = pivots(folder).values()
    assert rows(whole) == [["model", "discs"], ["plain", near((5 / 6 + 2 / 9) / 2)], ["grand", 1]]
    end(folder, key("plain", 1), FOLD_1, status="diverged", reason="loss is nan")
    part, folds = pivots(folder).values()
    assert rows(part) == [["model", "discs"], ["plain", near(math.nan)], ["grand", 1]]
    assert list(folds["plain"]) == [near(5 / 6), *[near(math.nan)] * 3]


def test_the_folds_of_a_model_have_no_mean_and_no_sd_until_all_are_done(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", fold) for fold in (0, 1, 2)], tables=[FOLD_BY_MODEL])
    end(folder, key("plain", 0), FOLD_0)
    end(folder, key("plain", 2), FOLD_1)
    (table,) = pivots(folder).values()
    gap = near(math.nan)
    assert rows(table)[1:] == [["0", near(5 / 6)], ["1", gap], ["2", near(2 / 9)], ["mean", gap], ["sd", gap]]


def test_a_variant_with_fewer_folds_has_the_mean_of_those_it_has(tmp_path: Path) -> None:
    keys = [key("plain", 0, variant="a"), key("plain", 1, variant="a"), key("plain", 0, variant="b")]
    folder = plan(tmp_path, keys, tables=[{**FOLD_BY_MODEL, "columns": "variant"}])
    for run, scans in zip(keys, (FOLD_0, FOLD_1, FOLD_0), strict=True):
        end(folder, run, scans)
    (table,) = pivots(folder).values()
    assert list(table["b"]) == [near(5 / 6), near(math.nan), near(5 / 6), near(math.nan)]


def test_an_axis_outside_the_pivot_has_a_table_for_each_value(tmp_path: Path) -> None:
    keys = [key("plain", 0, variant=variant) for variant in ("lr=1", "../up")]
    folder = plan(tmp_path, keys, tables=[FOLD_BY_MODEL])
    end(folder, keys[0], FOLD_0)
    end(folder, keys[1], PERFECT_0)
    one, other = pivot_tables(read_results(folder))
    assert one.name == "1-dice-fold-by-model-lr=1"
    assert one.title == "T: dice (mean over cases), fold by model, variant lr=1"
    assert (one.table["plain"][0], other.table["plain"][0]) == (near(5 / 6), 1)
    assert "/" not in other.name


def test_a_column_may_have_the_name_of_an_axis_or_of_the_data_column(tmp_path: Path) -> None:
    keys = [key("plain", 0, variant="fold"), key("plain", 0, variant="data")]
    folder = plan(tmp_path, keys, tables=[{**FOLD_BY_MODEL, "columns": "variant"}])
    for run in keys:
        end(folder, run, PERFECT_0)
    write_report(folder)
    text = (folder.path / "tables" / "1-dice-fold-by-variant.csv").read_text()
    assert text.splitlines()[:2] == ["fold,fold,data,data", "0,1.000000,1.000000,real"]


def test_every_file_of_a_rehearsal_says_that_its_data_are_phantom_data(tmp_path: Path) -> None:
    write_report(two_models(tmp_path / "phantom", phantom=True, tables=[FOLD_BY_MODEL]))
    write_report(two_models(tmp_path / "real", tables=[FOLD_BY_MODEL]))
    phantom, real = files(tmp_path / "phantom"), files(tmp_path / "real")
    names = {"folds.csv", "summary.csv", "cost.csv", "cost_summary.csv", "leaderboard.md"}
    names |= {
        "leaderboard.csv",
        "leaderboard.tex",
        "standings.csv",
        "differences.csv",
        "ranks.csv",
        "sensitivity.csv",
        "subgroups.csv",
        "split.csv",
        "split_sizes.csv",
    }
    names |= {f"tables/1-dice-fold-by-model.{suffix}" for suffix in ("md", "csv", "tex")}
    assert names == phantom.keys() == real.keys()
    assert (
        phantom.pop("split.csv") == "dataset,variant,case,patient,fold,part,slices,data\n"
    )  # no run by hand has one
    assert phantom.pop("subgroups.csv").count("\n") == 1  # six patients make no subgroups
    assert phantom.pop("split_sizes.csv") == "dataset,variant,fold,part,patients,cases,slices,data\n"
    for name in names & phantom.keys():
        assert PHANTOM_NOTE in phantom[name]
        if name.endswith(".csv"):
            _, *lines = csv.reader(io.StringIO(phantom[name]))
            assert {line[-1] for line in lines} == {PHANTOM_NOTE}
        assert PHANTOM_NOTE not in real[name]


def test_the_same_records_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    write_report(two_models(tmp_path / "one", tables=[FOLD_BY_MODEL]))
    keys = [key(model, fold) for fold in (0, 1) for model in ("plain", "grand")]
    folder = plan(tmp_path / "other", keys, tables=[FOLD_BY_MODEL])
    scans = {"plain": (FOLD_0, FOLD_1), "grand": (PERFECT_0, PERFECT_1)}
    for run in reversed(keys):
        end(folder, run, dict(reversed(scans[run.model][run.fold].items())))
    write_report(folder)
    write_report(folder)
    assert files(tmp_path / "other") == files(tmp_path / "one")


def test_edited_counts_are_an_error(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    path = folder.run(key("plain", 0)).path / "cases.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index("fp"), "fp", [[0] * 3]), path)
    with pytest.raises(IntegrityError, match=r"plain.*cases\.parquet: missing or changed"):
        write_report(folder)


def test_the_leaderboard_lists_failed_runs_and_counts_missing_ones(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", fold) for fold in range(4)])
    end(folder, key("plain", 0), FOLD_0)
    end(folder, key("plain", 1), None, status="failed", reason="first line\nsecond line")
    page = leaderboard_page(read_results(folder))
    assert "- discs/plain/default/fold1/seed0: failed: first line\n" in page
    assert "second line" not in page
    assert page.endswith("\n2 of 4 planned runs are not done yet.\n")
    assert "|  | discs | plain | default | 1 of 4 | 0.8333 |" in page


def test_the_leaderboard_says_when_runs_used_different_files(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    assert "no rank" not in leaderboard_page(read_results(folder))
    end(folder, key("plain", 1), FOLD_1, data_digest="older")
    assert "discs, default: runs used different files or splits, so there is no rank" in leaderboard_page(
        read_results(folder)
    )


@pytest.mark.parametrize(("regions", "share"), [(("disc",), "33%"), (("disc", "rim"), "33%")])
def test_the_leaderboard_warns_of_empty_references(tmp_path: Path, regions: tuple[str, ...], share: str) -> None:
    folder = plan(tmp_path, [key("plain", 0)])
    end(folder, key("plain", 0), {case: dict.fromkeys(regions, scans["disc"]) for case, scans in FOLD_0.items()})
    page = leaderboard_page(read_results(folder))
    assert f"In {share} of the cases the reference is empty" in page
    end(folder, key("plain", 0), PERFECT_0)
    assert "the reference is empty" not in leaderboard_page(read_results(folder))


ODD = "<script>a|b</script> &amp; =1+1"


def test_text_from_outside_is_escaped_in_every_file(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("=cmd()", 0), key(ODD, 0)], title=f"{ODD} \\input{{x}}", tables=[FOLD_BY_MODEL])
    end(folder, key("=cmd()", 0), FOLD_0)
    end(folder, key(ODD, 0), None, status="failed", reason=f"=cmd() {ODD}")
    write_report(folder)
    for name, text in files(tmp_path).items():
        if name.endswith(".csv"):
            cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
            assert not [cell for cell in cells if cell.startswith("=")]
        elif name.endswith(".md"):
            assert "<script>" not in text
            assert "&lt;script>a\\|b&lt;/script> &amp;amp; =1+1" in text
        else:
            assert "\\input" not in text
            assert "\\&amp; =1+1 \\textbackslash{}input\\{x\\}" in text


TABLE = pd.DataFrame(
    {
        "id": ["001", "NA", "=cmd()", "a|b_c"],
        "n": pd.array([1, None, 3, 4], dtype="Int64"),
        "x": [0.5, math.nan, -1 / 3, 1e-7],
    }
)


def test_csv_has_empty_cells_for_missing_values_and_no_formulas() -> None:
    assert to_csv(TABLE) == "id,n,x\n001,1,0.500000\nNA,,\n'=cmd(),3,-0.333333\na|b_c,4,0.000000\n"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1"])
def test_no_cell_and_no_heading_of_a_csv_is_a_formula(text: str) -> None:
    assert list(csv.reader(io.StringIO(to_csv(pd.DataFrame({text: [text]}))))) == [[f"'{text}"], [f"'{text}"]]


def test_markdown_is_a_pipe_table_with_numbers_aligned_right() -> None:
    assert to_markdown(TABLE).splitlines() == [
        "| id | n | x |",
        "| --- | ---: | ---: |",
        "| 001 | 1 | 0.5000 |",
        "| NA |  |  |",
        "| =cmd() | 3 | -0.3333 |",
        "| a\\|b_c | 4 | 0.0000 |",
    ]


def test_bold_cells_and_decimals_are_those_of_the_style() -> None:
    table = pd.DataFrame({"model": ["a|b", "c_d"], "loss": [0.25, 0.125]})
    style = Style(decimals=6, best=frozenset({(0, 0), (1, 1)}))
    assert to_markdown(table, style).splitlines()[2:] == ["| **a\\|b** | 0.250000 |", "| c_d | **0.125000** |"]
    assert to_latex(table, style, caption="T").splitlines()[6:8] == [
        r"\textbf{a|b} & 0.250000 \\",
        r"c\_d & \textbf{0.125000} \\",
    ]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a\nb\t c", "a b c"),
        ("dice_pos", "dice_pos"),
        ("_a_ *b* `c`", "\\_a\\_ \\*b\\* \\`c\\`"),
        ("[x](javascript:y)", "\\[x](javascript:y)"),
        ("C:\\d", "C:\\\\d"),
    ],
)
def test_markdown_displays_text_literally(text: str, escaped: str) -> None:
    assert plain_markdown(text) == escaped


def test_latex_escapes_commands_and_special_characters() -> None:
    table = pd.DataFrame({"a_b": ["\\input{x}", "[1] 50% & $y$ #~^"], "v": [1.0, 0.25]})
    assert to_latex(table, caption="T & {more}").splitlines() == [
        r"\begin{table}",
        r"\caption{T \& \{more\}}",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"a\_b & v \\",
        r"\midrule",
        r"\textbackslash{}input\{x\} & 1.0000 \\",
        r"{[}1] 50\% \& \$y\$ \#\textasciitilde{}\textasciicircum{} & 0.2500 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def test_the_leaderboard_says_which_metrics_are_not_measured_yet(tmp_path: Path) -> None:
    page = leaderboard_page(read_results(two_models(tmp_path, metrics=["dice", "nsd@2"])))
    assert "nsd@2 is not measured yet in 4 runs; `benchbench run` measures it without training again." in page
    assert "Distances are in mm where the voxel size of a case is known" in page
