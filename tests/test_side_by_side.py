"""Printed tables in their own shape, in Markdown and on the page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_listings import BY_METRIC, BY_VARIANT, folder_of
from test_reproduction import BENCHMARKS, LISTING, PRINTED, planned_reproductions, reproduce

from benchbench.records.folder import ResultsFolder
from benchbench.report import write_report
from benchbench.tables.side_by_side import side_by_side

pytestmark = pytest.mark.usefixtures("without_figures", "without_statistics")

CHECK, CROSS, CIRCLE = "\N{CHECK MARK}", "\N{BALLOT X}", "\N{WHITE CIRCLE}"


class Cells(HTMLParser):
    """The class and text of each cell of the tables in the section of reproductions."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: list[tuple[str, str]] = []
        self.strong: list[str] = []
        self._open = ""
        self.feed(page.partition('id="reproduction"')[2].partition("</section>")[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "td":
            self.cells.append((dict(attrs).get("class") or "", ""))
        if tag in {"td", "strong"}:
            self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = {"strong": "td", "td": ""}.get(tag, self._open)

    def handle_data(self, data: str) -> None:
        if self._open:
            style, text = self.cells[-1]
            self.cells[-1] = style, text + data
        if self._open == "strong":
            self.strong.append(data)


def test_a_cell_is_the_measured_number_with_the_printed_one_in_the_decimals_of_the_document(
    tmp_path: Path,
) -> None:
    # a zero at the end of 1.200 is not in the file: the longest number of the table decides
    printed = {**PRINTED, "rows": [[True, 1e-5, 1.055, 31125987], [False, 0.2, 1.2, 6030156]]}
    (table,) = reproduce(folder_of(tmp_path, LISTING), printed)
    compared = side_by_side(table)
    assert compared.columns == tuple(PRINTED["columns"])
    assert [[cell.text for cell in row] for row in compared.rows] == [
        ["true", "1e-05", "1.000 (1.055)", "1,234 (31,125,987)"],
        ["false", "0.1 (0.2)", "1.000 (1.200)", "1,234 (6,030,156)"],
    ]


def test_every_column_of_fractions_has_the_decimals_of_the_longest_number(tmp_path: Path) -> None:
    printed = {**PRINTED, "columns": ["metric", "train", "validation"], "where": {"variant": "slow"}}
    (table,) = reproduce(folder_of(tmp_path, BY_METRIC), {**printed, "rows": [["loss", 0.7512, 1.0]]})
    # a printed 1.0000 is 1.0 in the file
    assert [cell.text for cell in side_by_side(table).rows[0]] == ["loss", "1.0000 (0.7512)", "0.7500 (1.0000)"]


def test_numbers_without_a_measured_one_keep_their_cells(tmp_path: Path) -> None:
    printed = {**PRINTED, "rows": [*PRINTED["rows"], ["more", 0.3, 0.5, 7]]}
    (table,) = reproduce(folder_of(tmp_path, LISTING), printed)
    compared = side_by_side(table)
    assert [cell.text for cell in compared.rows[2]] == ["more", "0.3", "\N{EN DASH} (0.50)", "\N{EN DASH} (7)"]
    assert compared.reasons == {"no such row": ["more, train_loss", "more, parameters"]}


def test_a_cell_of_the_page_has_a_colour_and_a_mark(tmp_path: Path) -> None:
    exempt = [{"row": False, "column": "parameters", "why": "misprint"}]
    folder = folder_of(tmp_path, LISTING)
    reproduce(folder, {**PRINTED, "exempt": exempt, "title": "Six trainings"})
    write_report(folder)
    page = (folder.path / "index.html").read_text()
    assert Cells(page).cells == [
        ("", "true"),
        ("", "1e-05"),
        ("number reproduced", f"1.00 (1.05) {CHECK}"),
        ("number reproduced", f"1,234 (1,234) {CHECK}"),
        ("", "false"),
        ("", "0.1 (0.2)"),
        ("number gap", f"1.00 (1.20) {CROSS}"),
        ("number not-comparable", f"1,234 (1,235) {CIRCLE}"),
    ]
    assert "<h3>Table 1: Six trainings</h3>" in page
    assert "Document: D." in page
    assert "Not comparable: misprint (false, parameters)." in page
    assert "<li>another split</li>" in page
    styles = page.partition("<style>")[2].partition("</style>")[0]
    assert all(f".{name} {{ background:" in styles for name in ("reproduced", "gap", "not-comparable"))


def test_the_best_measured_number_of_a_printed_table_is_bold(tmp_path: Path) -> None:
    pivot = {"rows": "fold", "columns": "variant", "value": "dice", "aggregate": "case", "bold": "column"}
    printed = {**PRINTED, "columns": ["fold", "slow", "fast"], "rows": [["1", 0.2, 0.2], ["0", 0.8, 0.8]]}
    folder = folder_of(tmp_path)
    reproduce(folder, printed, tables=[pivot])
    write_report(folder)
    # the Dice of fold 0 is 5/6, that of fold 1 is 2/9; rows have the order of the document
    assert Cells((folder.path / "index.html").read_text()).strong == ["0.8", "0.8"]
    mark = "\N{WHITE HEAVY CHECK MARK}"
    assert f"| 0 | **0.8** (0.8) {mark} | **0.8** (0.8) {mark} |" in (folder.path / "reproduction.md").read_text()


def test_a_table_of_whole_numbers_has_no_decimals(tmp_path: Path) -> None:
    listing = {**BY_VARIANT, "columns": {"batch_norm": "models.plain.norm=batch", "dice_percent": "dice_percent"}}
    printed = {**PRINTED, "columns": ["batch_norm", "dice_percent"], "rows": [[True, 97], [False, 90]]}
    (table,) = reproduce(folder_of(tmp_path, listing), printed)
    # 100 (5/6 + 2/9) / 2 = 52.8
    assert [row[1].text for row in side_by_side(table).rows] == ["53 (97)", "53 (90)"]


def test_a_printed_table_of_one_variant_is_headed_by_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, BY_METRIC)
    printed = {**PRINTED, "columns": ["metric", "train", "validation"], "rows": [["loss", 1.0, 0.7]]}
    reproduce(folder, {**printed, "where": {"variant": "fast"}, "variant": {"iteration": 3}, "title": "Scores"})
    write_report(folder)
    assert "## Table 1: Scores, iteration 3\n\nDocument: D." in (folder.path / "reproduction.md").read_text()


def test_the_document_is_described_once_for_tables_that_follow_each_other(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, LISTING)
    first = {**PRINTED, "title": "One", "variant": {"modalities": ["t1ce", "flair"]}}
    reproduce(folder, first, {**PRINTED, "title": "Two"}, {**PRINTED, "title": "Three", "protocol": "Q"})
    write_report(folder)
    markdown = (folder.path / "reproduction.md").read_text()
    page = (folder.path / "index.html").read_text()
    assert "## Table 1: One, modalities t1ce flair\n\nDocument: D. Protocol of the document: P.\n" in markdown
    for text in (markdown, page):
        assert text.count("Protocol of the document: P.") == 1
        assert text.count("Protocol of the document: Q.") == 1


@pytest.mark.parametrize(
    ("name", "number", "cell"),
    [
        ("lgg_batch_norm", 0, "(0.358600)"),
        ("brats20_modalities", 1, "(0.2680)"),
        ("brats20_modalities", 2, "(0.367140)"),
        ("cardiac_separable", 0, "(31,125,987)"),
        ("cardiac_separable", 1, "(0.990)"),
        ("lgg_architectures", 0, "(97)"),
        ("brats21_scaling", 0, "(0.9150)"),
    ],
)
def test_numbers_of_the_documents_are_shown_as_printed(tmp_path: Path, name: str, number: int, cell: str) -> None:
    table = planned_reproductions(ResultsFolder(tmp_path), name, rehearse=False)[number]
    texts = [compared.text for row in side_by_side(table).rows for compared in row]
    assert f"\N{EN DASH} {cell}" in texts
    assert table.measured is not None
    printed_decimals = len(cell.strip("()").partition(".")[2])
    if printed_decimals:
        assert table.measured.style.decimals == printed_decimals


def test_every_printed_table_has_a_title_of_its_own() -> None:
    from benchbench.spec.reported import read_reported

    for path in (BENCHMARKS).glob("*.toml"):
        if "reproduce =" not in path.read_text():
            continue
        for table in read_reported(BENCHMARKS / "reported", path.stem):
            assert table.title, path
