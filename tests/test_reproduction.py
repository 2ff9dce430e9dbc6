from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from handmade import change_manifest
from test_listings import BY_METRIC, BY_VARIANT, folder_of

from benchbench.plan.expand import plan_runs
from benchbench.registry.registry import discover
from benchbench.report import write_report
from benchbench.results.folder import ResultsFolder
from benchbench.results.manifest import plan_manifest
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


def hold(
    folder: ResultsFolder, *reported: dict[str, Any], phantom: bool = False, **changes: Any
) -> list[Reproduction]:
    content = {"reported": list(reported), "deviations": ["another split"], "phantom": phantom}
    change_manifest(folder, **content, **changes)
    return reproductions(read_results(folder))


def verdicts(held: Reproduction) -> list[tuple[Any, ...]]:
    return list(held.frame[["row", "column", "verdict", "why"]].itertuples(index=False, name=None))


def test_a_number_within_the_tolerance_is_reproduced_and_another_is_a_gap(tmp_path: Path) -> None:
    (held,) = hold(folder_of(tmp_path, LISTING), PRINTED)
    assert held.measured is not None
    assert verdicts(held) == [
        ("true", "train_loss", "reproduced", ""),
        ("true", "parameters", "reproduced", ""),
        ("false", "train_loss", "gap", ""),
        ("false", "parameters", "gap", ""),
    ]
    assert held.frame["difference"].round(6).tolist() == [-0.05, 0, -0.2, -1]


def test_a_setting_that_tells_no_rows_apart_may_differ_and_is_told(tmp_path: Path) -> None:
    (held,) = hold(folder_of(tmp_path, LISTING), PRINTED)
    assert held.deviations == ["lr is 0.1, printed is 0.2"]


def test_phantom_data_are_shown_and_never_compared(tmp_path: Path) -> None:
    (held,) = hold(folder_of(tmp_path, LISTING), PRINTED, phantom=True)
    assert set(held.frame["verdict"]) == {"not comparable"}
    assert set(held.frame["why"]) == {"phantom data"}
    assert held.frame["difference"].isna().all()
    assert held.frame["measured"].notna().all()


def test_printed_numbers_known_to_be_wrong_are_not_compared(tmp_path: Path) -> None:
    exempt = [
        {"row": True, "column": "parameters", "why": "misprint"},
        {"row": None, "column": "train_loss", "why": "of another loss"},
    ]
    (held,) = hold(folder_of(tmp_path, LISTING), {**PRINTED, "exempt": exempt})
    assert [why for *_, why in verdicts(held)] == ["of another loss", "misprint", "of another loss", ""]


def test_a_printed_table_without_a_measured_one_is_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, LISTING)
    for change in ({"columns": ["batch_norm", "lr", "loss", "parameters"]}, {"where": {"variant": "slow"}}):
        (held,) = hold(folder, {**PRINTED, **change})
        assert held.measured is None
        assert {why for *_, why in verdicts(held)} == {"no table of this shape"}


def test_a_printed_row_that_was_not_measured_is_told(tmp_path: Path) -> None:
    pivot = {"rows": "fold", "columns": "variant", "value": "dice", "aggregate": "case", "sd": True}
    printed = {**PRINTED, "columns": ["fold", "slow", "fast"], "rows": [["0", 0.8333, 0.8333], ["2", 0.5, 0.5]]}
    (held,) = hold(folder_of(tmp_path), printed, tables=[pivot])
    assert [why for *_, why in verdicts(held)] == ["", "", "no such row", "no such row"]


def test_of_several_tables_of_one_shape_the_named_one_is_taken(tmp_path: Path) -> None:
    printed = {**PRINTED, "columns": ["metric", "train", "validation"], "rows": [["loss", 1.0, 0.7]]}
    first, second = hold(
        folder_of(tmp_path, BY_METRIC),
        {**printed, "where": {"variant": "fast"}},
        {**printed, "where": {"variant": "slow"}},
    )
    assert first.measured is not None
    assert second.measured is not None
    assert (first.measured.name, second.measured.name) == ("listing-1-fast", "listing-1-slow")


def test_a_pivot_of_folds_is_held_against_a_printed_one(tmp_path: Path) -> None:
    pivot = {"rows": "fold", "columns": "variant", "value": "dice", "aggregate": "case", "sd": True}
    printed = {
        **PRINTED,
        "columns": ["fold", "slow", "fast"],
        "rows": [["0", 0.8333, 0.1], ["mean", 0.5278, 0.53]],
    }
    folder = folder_of(tmp_path, optimistic="fast")
    (held,) = hold(folder, {**printed, "tolerance": 0.01}, tables=[pivot])
    assert [verdict for _, _, verdict, _ in verdicts(held)] == ["reproduced", "gap", "reproduced", "reproduced"]


def test_the_page_says_what_was_printed_what_deviates_and_what_the_document_got_wrong(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, LISTING, optimistic="fast")
    hold(folder, PRINTED)
    write_report(folder)
    page = (folder.path / "reproduction.md").read_text()
    assert "| true | train_loss | 1.0000 | 1.0500 | -0.0500 | reproduced |  |" in page
    assert "Within 0.1: 2 reproduced, 2 gap." in page
    assert "Error of the document: the document adds wrongly." in page
    assert "- another split\n- lr is 0.1, printed is 0.2\n- optimistic selection" in page
    table = pd.read_csv(folder.path / "reproduction.csv")
    assert table["tolerance"].tolist() == [0.1] * 4
    assert set(table["data"]) == {"real"}


def test_the_page_of_a_rehearsal_says_that_nothing_was_compared(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, LISTING)
    hold(folder, PRINTED, phantom=True)
    write_report(folder)
    page = (folder.path / "reproduction.md").read_text()
    assert "**phantom data, not a result.** These numbers show the shape" in page
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


def held_of(folder: ResultsFolder, name: str, *, rehearse: bool) -> list[Reproduction]:
    """The printed tables of a shipped benchmark beside those that it would measure, before anything is run."""
    registry = discover()
    benchmark = read_benchmark(BENCHMARKS / f"{name}.toml", check=registry.check, rehearse=rehearse)
    folder.write_manifest(plan_manifest(benchmark, plan_runs(benchmark, registry), phantom=rehearse))
    return reproductions(read_results(folder))


def places(held: Reproduction) -> list[int | None]:
    """Where in the measured table each printed row stands."""
    assert held.measured
    lines = [measured_line(held.measured, held.reported, row) for row in held.reported.rows]
    of_all = [str(line) for line in held.measured.frame.to_dict("records")]
    return [of_all.index(str(line)) if line else None for line in lines]


def test_every_printed_table_is_reproduced_by_the_benchmark_that_it_names() -> None:
    for name in PRINTED_OF:
        text = (BENCHMARKS / f"{name}.toml").read_text()
        assert tomllib.loads(text)["reproduce"] == name


@pytest.mark.parametrize("name", sorted(PRINTED_OF))
def test_every_printed_table_has_a_measured_one_of_exactly_its_rows_and_columns(tmp_path: Path, name: str) -> None:
    held = held_of(ResultsFolder(tmp_path), name, rehearse=False)
    assert held
    for each in held:
        assert each.measured
        assert list(each.measured.frame.columns) == list(each.reported.columns)
        assert places(each) == list(range(len(each.measured.frame)))


@pytest.mark.parametrize("name", sorted(PRINTED_OF))
def test_a_rehearsal_has_the_columns_of_every_printed_table_and_no_row_beside_its_own(
    tmp_path: Path, name: str
) -> None:
    for each in held_of(ResultsFolder(tmp_path), name, rehearse=True):
        assert each.measured
        assert list(each.measured.frame.columns) == list(each.reported.columns)
        found = [place for place in places(each) if place is not None]  # a rehearsal has fewer folds
        assert found == list(range(len(each.measured.frame)))
