"""The content of a benchmark's page, as text and in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from drawing import only_svg
from handmade import FOLD_0, PERFECT_0, PERFECT_1, end, graded, key, plan, scans, two_models

from benchbench.records.folder import ResultsFolder
from benchbench.records.history import write_history
from benchbench.report import write_report
from benchbench.report.page.cells import cell_of, table_of
from benchbench.report.page.index import write_index
from benchbench.report.page.rerun import command_of
from benchbench.tables.references import BACKGROUND
from benchbench.tables.results import PHANTOM_NOTE, read_results
from benchbench.tables.rows import rows_of

pytestmark = pytest.mark.usefixtures("svg_only")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BETTER = {"low": 0.0, "high": 0.2, "middle": 0.1}
TABLE = {"rows": "fold", "columns": "model", "value": "dice", "aggregate": "case"}
ODD = "<img src=x onerror=alert(1)>\"'</script>{{ 7*7 }}"


class Tables(HTMLParser):
    """The tables of a page by caption, each as rows of cells with the headings first."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.links: list[str] = []
        self.ids: list[str] = []
        self._rows: list[list[str]] = []
        self._caption = ""
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [given["href"] or ""] if "href" in given and tag == "a" else []
        self.ids += [given["id"] or ""] if "id" in given else []
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in {"td", "th"}:
            # a heading counts by the name of its column in files, where it has one
            self._rows[-1].append(given.get("data-column") or "")
        if tag in {"td", "th", "caption"} and "data-column" not in given:
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.tables[self._caption] = self._rows
        if tag in {"td", "th", "caption"}:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "caption":
            self._caption += data
        elif self._inside:
            self._rows[-1][-1] += data


def page_of(folder: ResultsFolder) -> str:
    write_report(folder)
    return (folder.path / "index.html").read_text()


def tables_of(page: str) -> dict[str, list[dict[str, str]]]:
    """Return the rows of each table by its caption; a row is heading -> text."""
    parser = Tables()
    parser.feed(page)
    return {
        caption: [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
        for caption, rows in parser.tables.items()
    }


def raw_cases(folder: ResultsFolder) -> pd.DataFrame:
    """Return the recorded counts, with Dice computed from its definition."""
    paths = sorted(folder.path.glob("runs/**/cases.parquet"))
    cases = pd.concat([pq.read_table(path).to_pandas() for path in paths])
    return cases.assign(dice=2 * cases.tp / (2 * cases.tp + cases.fp + cases.fn))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> ResultsFolder:
    """Return the report of three models on sixty patients, in a results folder with its index."""
    root = tmp_path_factory.mktemp("results")
    folder = graded(root / "b", BETTER, tables=[TABLE])
    for run in read_results(folder).planned:
        write_history(
            folder.run(run),
            [
                {"epoch": epoch, "train_loss": 1.0, "validation_loss": 1.0, "validation_dice_case": 0.1 * epoch}
                for epoch in range(5)
            ],
        )
    with only_svg():
        write_report(folder)
    write_index(root)
    return folder


def test_every_score_of_the_page_recomputes_from_the_cases(written: ResultsFolder) -> None:
    tables = tables_of((written.path / "index.html").read_text())
    cases = raw_cases(written)
    board = tables["Leaderboard on discs"]
    assert [line["model"] for line in board] == ["high", "middle", "low", BACKGROUND]
    assert (board[3]["ranks"], board[3]["dice"], board[3]["runs"]) == ("", "0.0000", "")
    for line in board[:3]:
        of_model = cases[cases.model == line["model"]]
        by_fold = of_model.groupby("fold").dice.mean()
        expected = {"dice": of_model.dice.mean(), "fold_mean": by_fold.mean(), "fold_sd": by_fold.std()}
        assert {name: line[name] for name in expected} == {
            name: f"{value:.4f}" for name, value in expected.items()
        }
        assert line["n"] == "60"
    for line in tables["Dice on discs, fold by fold"]:
        by_fold = cases[cases.model == line["row"]].groupby("fold").dice.mean()
        assert [line[f"fold {fold}"] for fold in range(5)] == [f"{value:.4f}" for value in by_fold]
    wide = cases.pivot_table(index="patient", columns="model", values="dice")
    for line in tables["Every pair of rows on discs, Dice"]:
        gap = wide[line["first"]] - wide[line["second"]]
        assert line["difference"] == f"{gap.mean():.4f}"
        assert line["wins"] == str((gap > 0).sum())
        assert line["ties"] == str((gap == 0).sum())
        assert line["losses"] == str((gap < 0).sum())


def test_the_order_under_other_choices_recomputes_from_the_cases(written: ResultsFolder) -> None:
    tables = tables_of((written.path / "index.html").read_text())
    choices = tables["The order on discs, Dice under other choices"]
    medians = raw_cases(written).groupby("model").dice.median().rank(ascending=False)
    line = next(line for line in choices if line["choice"] == "dice, median over cases")
    assert {name: line[name] for name in BETTER} == {name: str(int(medians[name])) for name in BETTER}


def test_every_link_leads_to_a_file_or_a_section_of_the_page(written: ResultsFolder) -> None:
    parser = Tables()
    parser.feed((written.path / "index.html").read_text())
    assert len(parser.links) > 20
    for link in parser.links:
        if link.startswith("#"):
            assert link[1:] in parser.ids
        else:
            assert (written.path / unquote(link)).is_file(), link
    assert len(parser.ids) == len(set(parser.ids))


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes_of_page_and_tables(written: ResultsFolder) -> None:
    names = [
        path
        for path in written.path.rglob("*")
        if path.suffix in {".html", ".csv", ".md", ".tex", ".svg", ".json"}
    ]
    before = {path: path.read_bytes() for path in names}
    write_report(written)
    assert {path: path.read_bytes() for path in names} == before


def test_text_from_outside_is_never_markup(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key(ODD, 0), key("plain", 0)], title=f"{ODD} title", tables=[TABLE], deviations=[ODD])
    for model in (ODD, "plain"):
        end(folder, key(model, 0), {f"{ODD}{case}": regions for case, regions in FOLD_0.items()})
    end(folder, key("plain", 0), None, status="failed", reason=ODD)
    page = page_of(folder)
    assert "<img src=x" not in page
    assert "</script>{{" not in page
    assert "{{ 7*7 }}" in page
    assert page.count("<script>") == 1


def test_a_page_loads_nothing_and_allows_its_own_script_only(written: ResultsFolder) -> None:
    page = (written.path / "index.html").read_text()
    assert "default-src 'none'" in page
    assert "script-src 'sha256-" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


@pytest.mark.usefixtures("without_figures", "without_statistics")
def test_a_rehearsal_says_so_on_its_page_and_in_the_index(tmp_path: Path) -> None:
    folder = two_models(tmp_path / "rehearsal" / "b", phantom=True)
    page = page_of(folder)
    write_index(tmp_path)
    assert PHANTOM_NOTE.capitalize() in page
    assert "benchbench run benchmarks/b.toml --rehearse" in page
    assert PHANTOM_NOTE.capitalize() in (tmp_path / "rehearsal" / "index.html").read_text()
    assert f"({PHANTOM_NOTE})" in (tmp_path / "rehearsal" / "index.md").read_text()
    assert "No benchmark of real data yet" in (tmp_path / "index.html").read_text()


@pytest.mark.usefixtures("without_figures", "without_statistics")
def test_a_rehearsal_does_not_change_the_index_of_real_results(tmp_path: Path) -> None:
    write_report(two_models(tmp_path / "b"))
    write_index(tmp_path)
    pages = [tmp_path / "index.html", tmp_path / "index.md"]
    before = [(path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in pages]
    write_report(two_models(tmp_path / "rehearsal" / "b", phantom=True))
    write_index(tmp_path)
    assert [(path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in pages] == before
    assert PHANTOM_NOTE.capitalize() in (tmp_path / "rehearsal" / "index.html").read_text()


@pytest.mark.usefixtures("without_figures", "without_statistics")
def test_a_folder_that_is_a_benchmark_keeps_its_page(tmp_path: Path) -> None:
    page = page_of(two_models(tmp_path))
    write_index(tmp_path)
    assert (tmp_path / "index.html").read_text() == page


def test_the_index_has_the_verdict_of_every_benchmark(written: ResultsFolder) -> None:
    index = (written.path.parent / "index.md").read_text()
    assert "## [T](b/index.html)" in index
    assert "15 of 15 runs, 3 models" in index
    assert "- high is better than middle, low on discs; to middle: dice +0.0" in index


def test_the_index_has_a_card_with_patients_and_a_small_chart(written: ResultsFolder) -> None:
    page = (written.path.parent / "index.html").read_text()
    assert "high has the best mean Dice on discs" in page
    assert "discs (60 patients); 3 models; 15 of 15 runs" in page
    assert page.count('<li class="strip"') == 3


@pytest.mark.usefixtures("without_figures")
def test_a_benchmark_without_a_run_has_a_page(tmp_path: Path) -> None:
    page = page_of(plan(tmp_path, [key("plain", 0)]))
    assert "No verdict: no row has all its runs." in page


@pytest.mark.usefixtures("without_figures")
def test_a_run_that_failed_is_on_the_page_with_its_reason(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    end(folder, key("plain", 1), None, status="failed", reason="out of memory\nmore")
    page = page_of(folder)
    assert "failed: out of memory" in page
    assert "plain has unfinished runs and is not ranked" in page
    assert "3 of 4 planned runs are done" in page


@pytest.mark.usefixtures("without_figures", "without_statistics")
def test_a_patient_tested_in_two_folds_is_reported(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", 0), key("plain", 1)])
    end(folder, key("plain", 0), PERFECT_0)
    end(folder, key("plain", 1), {**PERFECT_1, "a": PERFECT_0["a"]})
    assert "tested in several folds: a" in page_of(folder)


@pytest.mark.usefixtures("without_figures", "without_statistics")
def test_a_setting_that_differs_between_rows_is_named(tmp_path: Path) -> None:
    folder = graded(tmp_path, {"one": 0.0, "two": 0.1})
    assert "rows of a variant differ in their models only" in page_of(folder)
    for fold in range(5):
        resolved = {
            "protocol": {"folds": 5, "validation": 0.2, "epochs": 99, "augment": []},
            "model": {"name": "two"},
        }
        end(folder, key("two", fold), scans(fold, better=0.1), resolved={**resolved, "fold": fold, "seed": 0})
    assert "differ in more than their models: protocol.augment, protocol.augment[0:flip].name" in page_of(folder)


@pytest.mark.usefixtures("without_figures")
def test_rows_of_different_data_are_listed_separately(tmp_path: Path) -> None:
    keys = [key("plain", fold, variant=variant) for variant in ("all", "few") for fold in (0, 1)]
    folder = plan(tmp_path, keys)
    for run in keys:
        end(folder, run, (PERFECT_0, PERFECT_1)[run.fold], data_digest=f"files of {run.variant}")
    page = page_of(folder)
    assert (
        "begins with files of all for all; files of few for few. Rows of different data are not ranked together"
        in page
    )
    assert "for every row" not in page
    assert "no variant has two rows to compare" in page


@pytest.mark.usefixtures("without_figures", "without_statistics")
def test_a_case_counts_once_for_any_number_of_seeds(tmp_path: Path) -> None:
    keys = [key("plain", fold, seed=seed) for fold in (0, 1) for seed in (0, 1)]
    folder = plan(tmp_path, keys)
    for run in keys:
        end(folder, run, (PERFECT_0, PERFECT_1)[run.fold])
    (line,) = tables_of(page_of(folder))["Dice on discs, fold by fold"]
    assert (line["runs"], line["cases"]) == ("4", "6")


@pytest.mark.usefixtures("without_figures")
def test_the_command_of_a_row_has_every_override(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", 0, variant="lr 1")], overrides=["protocol.epochs=2"])
    end(folder, key("plain", 0, variant="lr 1"), PERFECT_0)
    results = read_results(folder)
    (row,) = rows_of(results, "discs")
    assert command_of(results.manifest, row) == (
        "benchbench run benchmarks/b.toml --set protocol.epochs=2 --only 'dataset=discs,model=plain,variant=lr 1'"
    )


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("dice", 0.51236, "0.5124"),
        ("dice", np.nan, ""),
        ("n", 1234, "1,234"),
        ("n", np.int64(1234), "1,234"),
        ("p_holm", 0.00001, "< 0.0001"),
        ("peak_memory_bytes", 3 * 2**20, "3 MiB"),
        ("difference", -0.25, "\N{MINUS SIGN}0.2500"),
        ("hd95_mm", 373.1287, "373.1"),
        ("runs", "2 of 2", "2 of 2"),
    ],
)
def test_a_value_is_formatted_for_readers(name: str, value: Any, text: str) -> None:
    assert cell_of(name, value).text == text


def test_an_empty_column_is_left_out() -> None:
    frame = pd.DataFrame({"model": ["a", "b"], "hd95": [np.nan, np.nan], "note": ["", ""], "dice": [0.5, np.nan]})
    assert [heading.name for heading in table_of(frame, caption="").headings] == ["model", "dice"]


@pytest.fixture
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: the page was not opened in a browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def column(page: Any, name: str) -> list[str]:
    """Return the cells below a heading of the first table, from the top."""
    table = page.locator("table").first
    names = [text.strip() for text in table.locator("thead th").all_inner_texts()]
    at = next(at for at, text in enumerate(names) if text.startswith(name))
    return table.locator(f"tbody td:nth-child({at + 1})").all_inner_texts()


@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 1280),
        ("dark", 390),
        pytest.param("dark", 1280, marks=pytest.mark.slow),
        pytest.param("light", 390, marks=pytest.mark.slow),
    ],
)
def test_a_browser_reports_no_errors_and_sends_no_requests(
    written: ResultsFolder, browser: Any, width: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((written.path / "index.html").as_uri())
    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_heading_sorts_its_table_by_mouse_and_keyboard(written: ResultsFolder, browser: Any) -> None:
    page = browser.new_page()
    page.goto((written.path / "index.html").as_uri())
    assert column(page, "Model") == ["high", "middle", "low", BACKGROUND]
    button = page.locator("table").first.get_by_role("button", name="Dice higher is better", exact=True)
    button.click()
    assert column(page, "Model") == ["high", "middle", "low", BACKGROUND]
    button.focus()
    page.keyboard.press("Enter")
    assert column(page, "Model") == [BACKGROUND, "low", "middle", "high"]
    assert page.locator("th[aria-sort=ascending]").count() == 1
    page.locator("table").first.get_by_role("button", name="Model").click()
    assert column(page, "Model") == [BACKGROUND, "high", "low", "middle"]


def test_paper_has_no_hint_to_scroll(written: ResultsFolder, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto((written.path / "index.html").as_uri())
    hints = (
        "Array.from(document.querySelectorAll('.table, figure'))"
        ".filter((block) => getComputedStyle(block, '::after').content.includes('scroll')"
        " && getComputedStyle(block, '::after').display !== 'none').length"
    )
    assert page.evaluate(hints) > 0
    page.emulate_media(media="print")
    assert page.evaluate(hints) == 0


def test_markup_in_a_name_does_not_run_in_a_browser(tmp_path: Path, browser: Any) -> None:
    folder = plan(tmp_path, [key(ODD, 0)], title=ODD)
    end(folder, key(ODD, 0), {f"{ODD}{case}": regions for case, regions in FOLD_0.items()})
    write_report(folder)
    page = browser.new_page()
    messages: list[str] = []
    page.on("dialog", lambda dialog: messages.append(dialog.message))
    page.on("console", lambda message: messages.append(message.text))
    page.goto((tmp_path / "index.html").as_uri())
    assert messages == []
    assert page.title() == ODD
