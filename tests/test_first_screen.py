"""The first screen of a page: verdict, chart of all rows and what was compared, in words and in a browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from drawing import only_svg
from handmade import FOLD_0, PERFECT_0, PERFECT_1, end, graded, key, plan, scans, two_models
from test_controls import a_a_of
from test_page import browser  # noqa: F401 a fixture

from benchbench.comparison.board import Board, boards
from benchbench.records.folder import ResultsFolder
from benchbench.records.manifest import DatasetFacts
from benchbench.report import write_report
from benchbench.report.figures.canvas import SERIES
from benchbench.report.figures.row_styles import MARKERS, row_styles
from benchbench.report.page.cells import decimals_of, table_of
from benchbench.report.page.compared import compared
from benchbench.report.page.names import direction_of, heading_of
from benchbench.report.page.overview import overview
from benchbench.report.page.standings import standings
from benchbench.report.plain_verdict import plain_verdict
from benchbench.statistics import Interval
from benchbench.tables.results import read_results

BETTER = {"low": 0.0, "high": 0.2, "middle": 0.1}


def board_of(folder: ResultsFolder) -> Board:
    (board,) = boards(read_results(folder))
    return board


def test_a_better_model_is_named_with_both_means(tmp_path: Path) -> None:
    board = board_of(graded(tmp_path, {"low": 0.0, "high": 0.2}))
    high, low = board.means["high"], board.means["low"]
    assert plain_verdict(board) == (
        f"high is better than low on discs: Dice {high:.3f} against {low:.3f}, over 60 patients."
    )


def test_models_that_cannot_be_distinguished_have_their_gap_and_the_gap_that_would_show(tmp_path: Path) -> None:
    keys = [key(model, fold) for fold in range(5) for model in ("one", "two")]
    folder = plan(tmp_path, keys, metrics=["dice"])
    for run in keys:
        end(folder, run, scans(run.fold, better=0.0, seed=len(run.model) + (run.model == "two")))
    board = board_of(folder)
    (pair,) = board.comparisons
    assert not pair.is_decided
    assert isinstance(pair.smallest_detectable, float)
    assert plain_verdict(board) == (
        f"{pair.first} and {pair.second} cannot be distinguished on discs: they differ by"
        f" {abs(pair.difference):.3f} in Dice, and 60 patients would show a gap of {pair.smallest_detectable:.3f}."
    )


def test_a_gap_that_no_score_can_have_is_not_printed(tmp_path: Path) -> None:
    board = board_of(graded(tmp_path, {"one": 0.1, "two": 0.11}))
    (pair,) = board.comparisons
    wide = replace(pair, p_holm=0.5, p_holm_equivalent=0.5, p=0.5, p_first_not_worse=0.5, p_second_not_worse=0.5)
    vars(board)["comparisons"] = [replace(wide, smallest_detectable=1.3)]
    assert plain_verdict(board).endswith("and 60 patients in 5 folds can show no gap at all.")


def test_equal_models_are_equally_good(tmp_path: Path) -> None:
    board = board_of(graded(tmp_path, {"one": 0.1, "two": 0.1}))
    assert plain_verdict(board) == (
        "one and two are equally good on discs: they differ by nothing in Dice, and by less than 0.01 for certain."
    )


def test_the_best_of_several_is_compared_with_each_kind_of_row(tmp_path: Path) -> None:
    board = board_of(graded(tmp_path, {**BETTER, "same": 0.2}))
    assert plain_verdict(board) == (
        f"high has the best mean Dice on discs: {board.means['high']:.3f} over 60 patients. It is better than middle"
        " and low. It is as good as same, within 0.01."
    )


def test_too_few_patients_and_failed_controls_are_in_the_sentence(tmp_path: Path) -> None:
    few = board_of(two_models(tmp_path / "few"))
    assert "grand and plain cannot be distinguished on discs: they differ by" in plain_verdict(few)
    assert "6 patients are too few" in plain_verdict(few)
    failed = board_of(a_a_of(tmp_path / "failed", 0.2))
    assert plain_verdict(failed).startswith("Do not believe this result: one (A/A twin) differs from one")


def test_a_cheaper_model_is_named_with_its_share_of_the_cost(tmp_path: Path) -> None:
    board = board_of(graded(tmp_path, {"big": 0.1, "small": 0.1}))
    (pair,) = board.comparisons
    alike = replace(pair, p_holm=0.3, p_holm_equivalent=0.2, p_first_not_worse=0.001, p_second_not_worse=0.001)
    board = replace(board, costs={"big": 40.0, "small": 4.0})
    vars(board)["comparisons"] = [alike]
    assert plain_verdict(board) == (
        "small is as good as big on discs, at most 0.01 worse, with 10% of its multiply-adds."
    )


def test_the_chart_has_a_dot_for_each_patient_and_places_in_percent(tmp_path: Path) -> None:
    folder = graded(tmp_path, BETTER)
    results = read_results(folder)
    board = board_of(folder)
    chart = overview(results, board, number=1)
    assert [(strip.label, strip.tag) for strip in chart.strips] == [
        ("high", ""),
        ("middle", ""),
        ("low", ""),
        ("all background", "reference"),
    ]
    first = chart.strips[0]
    assert len(first.dots) == 60
    assert first.dots[0].title == f"{board.panel.patients[0]}: {board.panel.patient_means[0][0]:.3f}"
    # the axis begins at the score of an empty mask, 0, and ends 2 % of its range above the best patient
    top = float(board.panel.patient_means.max())
    end_of_axis = min(1.0, 1.02 * top)
    assert first.mean == f"{100 * board.means['high'] / end_of_axis:.2f}"
    interval = board.intervals["high"]
    assert isinstance(interval, Interval)
    assert first.low == f"{100 * interval.low / end_of_axis:.2f}"
    assert first.value == f"{board.means['high']:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
    assert [tick.text for tick in chart.ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]


def test_many_patients_at_one_place_are_drawn_once_and_without_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchbench.report.page.overview._MOST_NAMED_DOTS", 100)
    folder = graded(tmp_path, {"one": 0.1, "two": 0.2})  # 120 patients
    chart = overview(read_results(folder), board_of(folder), number=1)
    for strip in chart.strips[:2]:
        places = [(dot.x, dot.y) for dot in strip.dots]
        assert len(places) == len(set(places)) <= 60
        assert {dot.title for dot in strip.dots} == {""}
        # to a half of a percent, at one of four heights
        assert all(float(x) * 2 == round(float(x) * 2) for x, _ in places)
        assert len({y for _, y in places}) <= 4


def test_controls_and_rows_of_other_tools_are_marked_in_the_chart(tmp_path: Path) -> None:
    folder = a_a_of(tmp_path / "controls", 0.0)
    chart = overview(read_results(folder), board_of(folder), number=1)
    assert [strip.label for strip in chart.strips if strip.tag == "control"] == ["one (A/A twin)"]
    assert "Controls are not ranked" in chart.caption
    other = graded(tmp_path / "external", {"own": 0.1, "tool": 0.0}, external={"tool": "trained elsewhere"})
    chart = overview(read_results(other), board_of(other), number=1)
    assert {strip.label: strip.tag for strip in chart.strips}["tool"] == "external"


def test_an_interval_that_is_not_drawn_is_not_in_the_caption(tmp_path: Path) -> None:
    folder = two_models(tmp_path)
    chart = overview(read_results(folder), board_of(folder), number=1)
    assert all(strip.low == "" for strip in chart.strips)
    assert "interval" not in chart.caption


def test_a_model_has_one_colour_whatever_its_rank(tmp_path: Path) -> None:
    styles = row_styles(read_results(graded(tmp_path, BETTER)))
    # in the order of the file, not in that of the scores
    assert [styles[model, "default"].colour for model in ("low", "high", "middle")] == list(SERIES[:3])
    assert [styles[model, "default"].marker for model in ("low", "high", "middle")] == list(MARKERS[:3])


def test_forty_two_models_have_different_pairs_of_colour_and_marker(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key(f"m{number}", 0) for number in range(42)])
    assert len(set(row_styles(read_results(folder)).values())) == 42


PROTOCOL = {
    "ndim": 2,
    "slice_axis": "axial",
    "patch": [64, 64],
    "epochs": 8,
    "batch": 4,
    "optimizer": {"name": "adam", "lr": 0.001, "weight_decay": 0.0001},
    "schedule": {"name": "cosine", "min_lr": 1e-05},
    "loss": {"name": "bce+dice", "smooth": 1e-5},
    "augment": [{"name": "flip", "p": 0.5}, {"name": "rotate", "degrees": 15.0, "p": 0.25}],
    "select": "dice",
    "select_on": "validation",
}


def test_the_box_has_data_and_protocol_in_words(tmp_path: Path) -> None:
    facts = {"discs": DatasetFacts(channels=("t1", "flair"), licence="CC BY 4.0").model_dump()}
    folder = plan(tmp_path, [key("plain", fold) for fold in (0, 1)], dataset_facts=facts)
    for fold, cases in enumerate((PERFECT_0, PERFECT_1)):
        end(folder, key("plain", fold), cases, resolved={"protocol": PROTOCOL})
    assert {setting.term: setting.text for setting in compared(folder, read_results(folder))} == {
        "Dataset": "discs: 6 patients",
        "Licence": "CC BY 4.0",
        "Channels": "t1, flair",
        "Regions": "disc",
        "Folds": "2 folds",
        "Seeds": "1",
        "Input": "axial slices of 64 x 64",
        "Epochs": "8, batches of 4",
        "Optimiser": "adam (lr 0.001, weight_decay 0.0001); cosine (min_lr 1e-05)",
        "Loss": "bce+dice",
        "Augmentation": "flip, p = 0.5; rotate (degrees 15), p = 0.25",
        "Checkpoint": "the best dice on the inner validation",
    }


def test_a_setting_that_differs_between_variants_has_all_its_values(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", 0, variant=variant) for variant in ("short", "long")])
    for variant, epochs in (("short", 8), ("long", 80)):
        protocol = {**PROTOCOL, "epochs": epochs}
        end(folder, key("plain", 0, variant=variant), FOLD_0, resolved={"protocol": protocol})
    settings = {setting.term: setting.text for setting in compared(folder, read_results(folder))}
    assert settings["Epochs"] == "8, batches of 4; or 80, batches of 4"


def test_learning_rates_that_differ_between_models_are_named_together(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key(model, 0) for model in ("one", "two", "three", "zero")])
    optimizers = {
        "one": {"name": "adam", "lr": 0.003, "weight_decay": 0.0001},
        "two": {"name": "adam", "lr": 0.002, "weight_decay": 0.0001},
        "three": {"name": "sgd", "lr": 0.1, "warmup": 9},
        "zero": {"name": "sgd", "lr": 0.05, "warmup": 10},
    }
    for model, optimizer in optimizers.items():
        end(folder, key(model, 0), FOLD_0, resolved={"protocol": {**PROTOCOL, "optimizer": optimizer}})
    settings = {setting.term: setting.text for setting in compared(folder, read_results(folder))}
    assert settings["Optimiser"] == (
        "adam (lr 0.002 or 0.003, weight_decay 0.0001) or sgd (lr 0.05 or 0.1, warmup 9 or 10); cosine (min_lr 1e-05)"
    )


def test_headings_are_words_with_the_better_direction() -> None:
    columns = ("dice", "hd95_mm", "ms_per_case_p50", "images_per_second", "n", "own column")
    assert [heading_of(name) for name in columns] == [
        "Dice",
        "HD95 (mm)",
        "ms per case (median)",
        "Images per second",
        "Cases",
        "own column",
    ]
    assert [direction_of(name) for name in columns] == ["up", "down", "down", "up", "", ""]


def test_all_numbers_of_a_column_have_the_same_decimals() -> None:
    table = table_of(pd.DataFrame({"model": ["a", "b"], "seconds": [12.5, 1234.0]}), caption="")
    assert [row[1].text for row in table.rows] == ["12.5", "1,234.0"]
    assert decimals_of("hd95_mm", pd.Series([1.5, 200.0])) == 2


def test_sentences_are_notes_and_not_cells() -> None:
    frame = pd.DataFrame({"row": ["a", "b", "c"], "dice": [0.1, 0.2, 0.3], "own_settings": ["lr 1", "lr 1", ""]})
    table = table_of(frame, caption="")
    assert [heading.name for heading in table.headings] == ["row", "dice"]
    assert table.notes == ["a; b: settings of its own: lr 1"]


def test_a_sentence_on_both_rows_of_a_pair_is_printed_once() -> None:
    frame = pd.DataFrame({"first": ["a", "a"], "second": ["b", "c"]})
    frame = frame.assign(first_own_settings=["lr 1", "lr 1"], second_own_settings=["lr 1", "lr 2"])
    assert table_of(frame, caption="").notes == [
        "a; b: settings of its own: lr 1",
        "c: settings of its own: lr 2",
    ]


def test_the_settings_of_the_file_are_no_settings_of_its_own() -> None:
    texts = ["default", "tuned with 3 trials", "default; optimizer.lr 0.05", "default of nnunet"]
    table = table_of(pd.DataFrame({"row": list("abcd"), "own_settings": texts}), caption="")
    assert table.notes == [
        "b: settings of its own: tuned with 3 trials",
        "c: settings of its own: optimizer.lr 0.05",
        "d: settings of its own: default of nnunet",
    ]


def test_the_leaderboard_shows_few_columns_first_and_the_best_values_in_bold(tmp_path: Path) -> None:
    keys = [key(model, fold) for fold in range(5) for model in BETTER]
    metrics = ["dice", "iou", "precision", "sensitivity", "hd95"]
    folder = plan(tmp_path, keys, metrics=metrics)
    for run in keys:
        cases = scans(run.fold, better=BETTER[run.model])
        end(folder, run, cases, {case: {"hd95_mm": 5.0 - 10 * BETTER[run.model]} for case in cases})
    results = read_results(folder)
    table = standings(results, list(boards(results)), "discs")
    displayed = [heading.name for heading in table.headings if not heading.is_hidden]
    assert displayed == ["model", "ranks", "dice", "interval", "iou", "hd95_mm", "parameters"]
    hidden = {heading.name for heading in table.headings if heading.is_hidden}
    assert {"precision", "sensitivity", "n", "fold_mean"} <= hidden
    bold = {
        heading.name: [cell.is_best for cell in cells]
        for heading, cells in zip(table.headings, zip(*table.rows, strict=True), strict=True)
    }
    assert bold["dice"] == [True, False, False, False]
    assert bold["hd95_mm"] == [True, False, False, False]
    assert not any(bold["parameters"])  # all are equal


WIDE = {"a_model_of_a_long_name": 0.0, "attention_unet": 0.1, "unet": 0.2}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = graded(tmp_path_factory.mktemp("first"), WIDE)
    with only_svg():
        write_report(folder)
    return folder.path / "index.html"


WIDER_THAN_THEIR_BOX = """() => Array.from(document.querySelectorAll(".scroll"))
  .filter((box) => box.scrollWidth > box.clientWidth + 1)
  .map((box) => box.getAttribute("aria-label"))"""

CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (text) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((value, i) => value * top[3] + below[i] * (1 - top[3]));
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => value / 255)
      .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(rgba(getComputedStyle(at).backgroundColor));
    return layers.reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const worst = [];
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const element of document.body.querySelectorAll("*")) {
    const own = Array.from(element.childNodes).some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest("script, figure .picture, title") || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const ink = element.closest("svg") ? style.fill : style.color;
    const below = ground(element);
    const [one, other] = [luminance(over(rgba(ink), below)), luminance(below)];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) worst.push([element.tagName, element.className.toString(), element.textContent.slice(0, 30), ratio]);
  }
  return worst;
}"""


@pytest.mark.parametrize(
    ("scheme", "width", "height"),
    [
        ("light", 1280, 800),
        pytest.param("dark", 390, 844, marks=pytest.mark.slow),
        pytest.param("dark", 1280, 800, marks=pytest.mark.slow),
        pytest.param("light", 390, 844, marks=pytest.mark.slow),
    ],
)
def test_the_first_screen_has_verdict_and_chart_and_every_text_can_be_read(
    page_file: Path,
    browser: Any,  # noqa: F811 the fixture
    width: int,
    height: int,
    scheme: str,
) -> None:
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(page_file.as_uri())
    figure = page.locator("figure").first.bounding_box()
    assert figure["y"] < height
    if width == 1280:
        assert figure["y"] + figure["height"] < 800
        compared_box = page.locator("#compared").bounding_box()
        assert compared_box["y"] < 800
        assert page.evaluate(WIDER_THAN_THEIR_BOX) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRASTS) == []


def test_a_box_adds_a_column_and_a_wide_table_says_that_it_can_be_scrolled(page_file: Path, browser: Any) -> None:  # noqa: F811
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(page_file.as_uri())
    block = page.locator("#leaderboard .table").first
    heading = block.locator("th[data-column=fold_mean]")
    assert heading.is_hidden()
    block.locator("summary").click()
    block.get_by_label("Mean of folds").check()
    assert heading.is_visible()
    assert "more" in (block.locator(".scroll").get_attribute("class") or "").split()
    cue = "getComputedStyle(document.querySelector('#leaderboard .table'), '::after').content"
    assert "scroll sideways" in page.evaluate(cue)
