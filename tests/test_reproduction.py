from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from handmade import change_manifest
from test_listings import BY_METRIC, BY_VARIANT, folder_of

from benchbench.plan.expand import plan_runs
from benchbench.records.folder import ResultsFolder
from benchbench.records.manifest import plan_manifest
from benchbench.registry.registry import discover
from benchbench.report import write_report
from benchbench.spec.benchmark import read_benchmark
from benchbench.tables.reproduction import Reproduction, measured_line, reproductions
from benchbench.tables.results import read_results

pytestmark = pytest.mark.usefixtures("without_figures")

COLUMNS = {
    "batch_norm": "models.plain.norm=batch",
    "lr": "protocol.optimizer.lr",
    "train_loss": "train_loss",
    "parameters": "parameters",
}
LISTING = {**BY_VARIANT, "columns": COLUMNS}
PRINTED = {
    "benchmark": "b",
    "document": "D",
    "metric": "",
    "protocol": "P",
    "where": {},
    "variant": {},
    "columns": list(COLUMNS),
    "rows": [[True, 1e-5, 1.05, 1234], [False, 0.2, 1.2, 1235]],
    "tolerance": 0.1,
    "exempt": [],
    "note": "the document adds wrongly",
}


def reproduce(
    folder: ResultsFolder, *reported: dict[str, Any], phantom: bool = False, **changes: Any
) -> list[Reproduction]:
    content = {"reported": list(reported), "deviations": ["another split"], "phantom": phantom}
    change_manifest(folder, **content, **changes)
    return reproductions(read_results(folder))


def verdicts(table: Reproduction) -> list[tuple[Any, ...]]:
    return list(table.numbers[["row", "column", "verdict", "why"]].itertuples(index=False, name=None))


def test_a_number_within_the_tolerance_is_reproduced_and_another_is_a_gap(tmp_path: Path) -> None:
    (table,) = reproduce(folder_of(tmp_path, LISTING), PRINTED)
    assert table.measured is not None
    assert verdicts(table) == [
        ("true", "train_loss", "reproduced", ""),
        ("true", "parameters", "reproduced", ""),
        ("false", "train_loss", "gap", ""),
        ("false", "parameters", "gap", ""),
    ]
    assert table.numbers["difference"].round(6).tolist() == [-0.05, 0, -0.2, -1]


def test_a_number_exactly_at_the_tolerance_is_reproduced(tmp_path: Path) -> None:
    # 1.05 - 1.0 is slightly more than 0.05
    (table,) = reproduce(folder_of(tmp_path, LISTING), {**PRINTED, "tolerance": 0.05})
    assert verdicts(table)[0] == ("true", "train_loss", "reproduced", "")


def test_a_setting_that_identifies_no_row_may_differ_and_is_a_deviation(tmp_path: Path) -> None:
    (table,) = reproduce(folder_of(tmp_path, LISTING), PRINTED)
    assert table.deviations == ["lr is 0.1, printed is 0.2"]


def test_phantom_data_are_shown_and_never_compared(tmp_path: Path) -> None:
    (table,) = reproduce(folder_of(tmp_path, LISTING), PRINTED, phantom=True)
    assert set(table.numbers["verdict"]) == {"not comparable"}
    assert set(table.numbers["why"]) == {"phantom data"}
    assert table.numbers["difference"].isna().all()
    assert table.numbers["measured"].notna().all()


def test_printed_numbers_known_to_be_wrong_are_not_compared(tmp_path: Path) -> None:
    exempt = [
        {"row": True, "column": "parameters", "why": "misprint"},
        {"row": None, "column": "train_loss", "why": "of another loss"},
    ]
    (table,) = reproduce(folder_of(tmp_path, LISTING), {**PRINTED, "exempt": exempt})
    assert [why for *_, why in verdicts(table)] == ["of another loss", "misprint", "of another loss", ""]


def test_a_printed_table_without_a_measured_one_says_so(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, LISTING)
    for change in ({"columns": ["batch_norm", "lr", "loss", "parameters"]}, {"where": {"variant": "slow"}}):
        (table,) = reproduce(folder, {**PRINTED, **change})
        assert table.measured is None
        assert {why for *_, why in verdicts(table)} == {"no table of this shape"}


def test_a_printed_row_without_a_measured_one_says_so(tmp_path: Path) -> None:
    pivot = {"rows": "fold", "columns": "variant", "value": "dice", "aggregate": "case", "sd": True}
    printed = {**PRINTED, "columns": ["fold", "slow", "fast"], "rows": [["0", 0.8333, 0.8333], ["2", 0.5, 0.5]]}
    (table,) = reproduce(folder_of(tmp_path), printed, tables=[pivot])
    assert [why for *_, why in verdicts(table)] == ["", "", "no such row", "no such row"]


def test_the_chosen_one_of_several_tables_of_the_same_shape_is_compared(tmp_path: Path) -> None:
    printed = {**PRINTED, "columns": ["metric", "train", "validation"], "rows": [["loss", 1.0, 0.7]]}
    first, second = reproduce(
        folder_of(tmp_path, BY_METRIC),
        {**printed, "where": {"variant": "fast"}},
        {**printed, "where": {"variant": "slow"}},
    )
    assert first.measured is not None
    assert second.measured is not None
    assert (first.measured.name, second.measured.name) == ("listing-1-fast", "listing-1-slow")


def test_a_pivot_of_folds_is_compared_with_a_printed_one(tmp_path: Path) -> None:
    pivot = {"rows": "fold", "columns": "variant", "value": "dice", "aggregate": "case", "sd": True}
    printed = {
        **PRINTED,
        "columns": ["fold", "slow", "fast"],
        "rows": [["0", 0.8333, 0.1], ["mean", 0.5278, 0.53]],
    }
    folder = folder_of(tmp_path, optimistic="fast")
    (table,) = reproduce(folder, {**printed, "tolerance": 0.01}, tables=[pivot])
    assert [verdict for _, _, verdict, _ in verdicts(table)] == ["reproduced", "gap", "reproduced", "reproduced"]


def test_the_page_has_the_probability_that_the_best_column_of_the_document_is_not_the_best(tmp_path: Path) -> None:
    pivot = {"rows": "fold", "columns": "variant", "value": "dice", "aggregate": "case"}
    printed = {**PRINTED, "columns": ["fold", "slow", "fast"], "rows": [["0", 0.8, 0.7], ["1", 0.8, 0.5]]}
    folder = folder_of(tmp_path)
    reproduce(folder, printed, tables=[pivot])
    write_report(folder)
    page = (folder.path / "reproduction.md").read_text()
    # differences 0.1 and 0.3: t = 0.2 / sqrt((1/2 + 1) 0.02) = 1.155 with one degree of freedom
    assert "Best row of the document: slow before fast: P(false claim) 0.227 (2 folds, corrected" in page


def test_the_page_has_printed_numbers_deviations_and_errors_of_the_document(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, LISTING, optimistic="fast")
    reproduce(folder, PRINTED)
    write_report(folder)
    page = (folder.path / "reproduction.md").read_text()
    # lr identifies no row; it is 0.1 where 0.2 is printed
    assert "| batch_norm | lr | train_loss | parameters |" in page
    assert (
        "| true | 1e-05 | 1.00 (1.05) \N{WHITE HEAVY CHECK MARK} | 1,234 (1,234) \N{WHITE HEAVY CHECK MARK} |"
        in page
    )
    assert "| false | 0.1 (0.2) | 1.00 (1.20) \N{CROSS MARK} | 1,234 (1,235) \N{CROSS MARK} |" in page
    assert "A measured number is the mean over 2 folds," in page
    assert "Within 0.1: 2 reproduced, 2 gap." in page
    assert "Error of the document: the document adds wrongly." in page
    assert "- another split\n- lr is 0.1, printed is 0.2\n- checkpoints selected on the test set" in page
    table = pd.read_csv(folder.path / "reproduction.csv")
    assert table["tolerance"].tolist() == [0.1] * 4
    assert set(table["data"]) == {"real"}


def test_the_page_of_a_rehearsal_says_that_nothing_was_compared(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, LISTING)
    reproduce(folder, PRINTED, phantom=True)
    write_report(folder)
    page = (folder.path / "reproduction.md").read_text()
    assert "**phantom data, not a result.** These numbers only show the layout" in page
    assert "Within 0.1: 4 not comparable." in page


def test_a_benchmark_that_reproduces_nothing_has_no_page(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, LISTING)
    write_report(folder)
    assert not (folder.path / "reproduction.md").exists()


BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
PRINTED_OF = {
    str(table["benchmark"])
    for path in sorted((BENCHMARKS / "reported").glob("*.toml"))
    for table in tomllib.loads(path.read_text())["table"]
}


def planned_reproductions(folder: ResultsFolder, name: str, *, rehearse: bool) -> list[Reproduction]:
    """Return the printed tables of a shipped benchmark with the empty tables that it would measure."""
    registry = discover()
    benchmark = read_benchmark(BENCHMARKS / f"{name}.toml", check=registry.check, rehearse=rehearse)
    folder.write_manifest(plan_manifest(benchmark, plan_runs(benchmark, registry), phantom=rehearse))
    return reproductions(read_results(folder))


def places(table: Reproduction) -> list[int | None]:
    """Return the position of each printed row in the measured table."""
    assert table.measured
    lines = [measured_line(table.measured, table.printed, row) for row in table.printed.rows]
    all_lines = [str(line) for line in table.measured.frame.to_dict("records")]
    return [all_lines.index(str(line)) if line else None for line in lines]


def test_every_printed_table_is_reproduced_by_the_benchmark_that_it_names() -> None:
    for name in PRINTED_OF:
        text = (BENCHMARKS / f"{name}.toml").read_text()
        assert tomllib.loads(text)["reproduce"] == name


@pytest.mark.parametrize("name", sorted(PRINTED_OF))
def test_every_printed_table_has_a_measured_one_of_exactly_its_rows_and_columns(tmp_path: Path, name: str) -> None:
    tables = planned_reproductions(ResultsFolder(tmp_path), name, rehearse=False)
    assert tables
    for table in tables:
        assert table.measured
        assert list(table.measured.frame.columns) == list(table.printed.columns)
        assert places(table) == list(range(len(table.measured.frame)))


@pytest.mark.parametrize("name", sorted(PRINTED_OF))
def test_a_rehearsal_has_the_columns_of_every_printed_table_and_no_further_row(tmp_path: Path, name: str) -> None:
    for table in planned_reproductions(ResultsFolder(tmp_path), name, rehearse=True):
        assert table.measured
        assert list(table.measured.frame.columns) == list(table.printed.columns)
        measured_places = [place for place in places(table) if place is not None]  # a rehearsal has fewer folds
        assert measured_places == list(range(len(table.measured.frame)))
