"""Figures of a board show the numbers of its panel and statistics; without statistics there is no figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from handmade import PERFECT_0, end, graded, key, plan, scans, two_models
from matplotlib.figure import Figure as Drawing

from benchbench.comparison.board import boards
from benchbench.records.folder import ResultsFolder
from benchbench.report.figures import draw_figures
from benchbench.report.figures.board_view import BoardView, board_views, jitter, scale_x_axis
from benchbench.report.figures.canvas import figure_style
from benchbench.report.figures.cases import draw_cases
from benchbench.report.figures.costs import costs_of
from benchbench.report.figures.differences import draw_differences, gaps_of
from benchbench.report.figures.metric_text import axis_label, format_value, metric_name
from benchbench.report.figures.pareto import _at_least, draw_pareto, front
from benchbench.report.figures.ranks import draw_ranks
from benchbench.report.figures.significance import draw_significance
from benchbench.report.figures.volume import draw_volume, running_median, volumes_of
from benchbench.statistics import Interval
from benchbench.tables.results import PHANTOM_NOTE, Results, read_results

BETTER = {"low": 0.0, "high": 0.2, "same": 0.2}


@pytest.fixture
def styled() -> Iterator[None]:
    with figure_style():
        yield


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read_results(graded(tmp_path_factory.mktemp("graded"), BETTER))


@pytest.fixture(scope="module")
def view(results: Results) -> BoardView:
    return view_of(results)


def view_of(results: Results) -> BoardView:
    (view,) = board_views(results, boards(results))
    return view


def words(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter() if element.tag.endswith("}text")]  # noqa: S314 our own


def test_differences_are_to_the_leader_with_the_intervals_of_the_comparisons(view: BoardView) -> None:
    gaps = gaps_of(view)
    assert [gap.model for gap in gaps] == view.models[1:] == ["same", "low"]
    by_pair = {(pair.first, pair.second): pair for pair in view.board.comparisons}
    for gap in gaps:
        comparison = by_pair["high", gap.model]
        assert isinstance(comparison.interval, Interval)
        assert gap.difference == -comparison.difference
        assert gap.interval[:2] == (-comparison.interval.high, -comparison.interval.low)
        assert gap.patients.mean() == pytest.approx(gap.difference)


@pytest.mark.usefixtures("styled", "svg_only")
def test_each_difference_is_written_next_to_its_line(view: BoardView) -> None:
    figure = draw_differences(view)
    assert figure is not None
    gap = gaps_of(view)[1]
    texts = [format_value("dice", value, sign=True) for value in (gap.difference, *gap.interval[:2])]
    assert f"{texts[0]} [{texts[1]}, {texts[2]}]" in words(figure.svg)
    assert view.board.family in figure.caption


@pytest.mark.usefixtures("styled", "svg_only")
def test_a_pair_that_differs_has_its_p_value_and_another_a_sign(view: BoardView) -> None:
    figure = draw_significance(view)
    assert figure is not None
    texts = words(figure.svg)
    assert sum(pair.is_decided for pair in view.board.comparisons) == 2
    assert texts.count("<.001") == 2
    assert texts.count("=") == 1
    assert figure.alt.startswith("2 of 3 pairs")


@pytest.mark.usefixtures("styled", "svg_only")
def test_the_caption_of_the_ranks_has_the_numbers_of_the_board(view: BoardView) -> None:
    figure = draw_ranks(view)
    assert figure is not None
    assert view.board.family in figure.caption
    assert figure.alt.startswith("The ranks that each of high")


@pytest.mark.usefixtures("styled", "svg_only")
def test_the_caption_of_the_cases_gives_the_patients_and_explains_a_missing_interval(
    view: BoardView, tmp_path: Path
) -> None:
    assert "60 patients" in draw_cases(view).caption
    assert "with its 95 % interval" in draw_cases(view).caption
    few = view_of(read_results(two_models(tmp_path)))
    assert "without interval (6 patients are too few" in draw_cases(few).caption


@pytest.mark.usefixtures("styled", "svg_only")
def test_the_caption_of_the_cases_mentions_the_grey_bar_only_where_it_is_drawn(
    view: BoardView, tmp_path: Path
) -> None:
    assert "as a broad grey bar, the range between the quartiles" in draw_cases(view).caption
    folder = plan(tmp_path, [key("perfect", 0)])
    end(folder, key("perfect", 0), PERFECT_0)
    assert "grey bar" not in draw_cases(view_of(read_results(folder))).caption


@pytest.mark.usefixtures("styled", "svg_only")
def test_a_difference_of_nothing_does_not_fill_the_axes_of_the_cost_figure(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key(model, 0) for model in ("one", "two")], metrics=["dice"])
    for model, hit in (("one", 5000), ("two", 5001)):
        cases = {f"case{number}": {"disc": [(hit, 5000, 5000, 0)]} for number in range(3)}
        end(folder, key(model, 0), cases, parameters=1000 if model == "one" else 1001)
    results = read_results(folder)
    assert _at_least(0.5, 0.5001, width=0.04) == pytest.approx((0.50005 - 0.04 * 0.56, 0.50005 + 0.04 * 0.56))
    figure = draw_pareto(view_of(results), results)
    assert figure is not None
    # four differences that matter, 0.04, around a Dice of 0.5
    ticks = [float(word) for word in words(figure.svg) if word.startswith("0.")]
    assert min(ticks) <= 0.485
    assert max(ticks) >= 0.515
    assert "The dashed line is the Pareto front" in figure.caption


@pytest.mark.usefixtures("styled", "svg_only")
def test_too_few_patients_give_no_figure(tmp_path: Path) -> None:
    results = read_results(two_models(tmp_path))
    few = view_of(results)
    assert (draw_differences(few), draw_ranks(few), draw_volume(few, results)) == (None, None, None)


@pytest.mark.usefixtures("styled", "svg_only")
def test_one_model_is_compared_with_nothing(tmp_path: Path) -> None:
    results = read_results(graded(tmp_path, {"alone": 0.1}))
    alone = view_of(results)
    for draw in (draw_differences, draw_significance, draw_ranks):
        assert draw(alone) is None
    assert draw_pareto(alone, results) is None
    assert "alone" in words(draw_cases(alone).svg)


def test_a_distance_is_worse_to_the_right(tmp_path: Path) -> None:
    runs = [key(model, fold) for model in ("near", "far") for fold in range(3)]
    folder = plan(tmp_path, runs, metrics=["hd95"])
    for run in runs:
        cases = scans(run.fold, better=0.0)
        far = {case: {"hd95_mm": (1.0 if run.model == "near" else 4.0) + n / 9} for n, case in enumerate(cases)}
        end(folder, run, cases, far)
    view = view_of(read_results(folder))
    with figure_style():
        figure = draw_differences(view)
    assert figure is not None
    assert "Further to the right is worse" in figure.caption
    assert gaps_of(view)[0].difference == pytest.approx(3)
    assert "HD95 (mm) minus that of near" in words(figure.svg)


def test_the_front_has_every_model_that_no_other_matches_at_its_cost() -> None:
    costs, means = [4.0, 1.0, 2.0, 3.0, 1.0], [0.9, 0.5, 0.4, 0.7, 0.6]
    assert front(costs, means, is_lower_better=False) == [4, 3, 0]
    assert front(costs, means, is_lower_better=True) == [1, 2]


def costs(
    path: Path, provenance: Mapping[str, Mapping[str, object]], **options: object
) -> dict[str, dict[str, float]]:
    """Return what models of one fold cost: column -> model -> cost."""
    folder = plan(path, [key(model, 0) for model in provenance], **options)
    for number, (model, given) in enumerate(provenance.items(), start=1):
        end(folder, key(model, 0), PERFECT_0, parameters=100 * number, seconds=5.0 * number, provenance=given)
    results = read_results(folder)
    return {cost.column: values for cost, values in costs_of(view_of(results), results)}


def test_costs_are_those_of_the_records(tmp_path: Path) -> None:
    by_column = costs(tmp_path, {name: {"device": "cpu", "threads": 2} for name in ("one", "two")})
    assert by_column == {"parameters": {"one": 100, "two": 200}, "seconds": {"one": 5, "two": 10}}


def test_an_unknown_cost_has_no_panel(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key(model, 0) for model in ("one", "two")])
    for number, model in enumerate(("one", "two")):
        end(folder, key(model, 0), PERFECT_0, parameters=None, seconds=1.0 + number)
    results = read_results(folder)
    assert [cost.column for cost, _ in costs_of(view_of(results), results)] == ["seconds"]


def test_times_of_different_machines_are_not_compared(tmp_path: Path) -> None:
    by_column = costs(
        tmp_path, {"one": {"device": "cpu", "threads": 2}, "two": {"device": "cuda:0", "threads": 2}}
    )
    assert list(by_column) == ["parameters"]


def test_an_ensemble_has_no_training_time(tmp_path: Path) -> None:
    same = {"device": "cpu", "threads": 2}
    by_column = costs(tmp_path, dict.fromkeys(("one", "two", "both"), same), ensembles={"both": "one, two"})
    assert list(by_column["parameters"]) == ["both", "one", "two"]
    assert list(by_column["seconds"]) == ["one", "two"]


def test_volumes_are_the_voxels_of_the_reference_by_case(view: BoardView, results: Results) -> None:
    table = volumes_of(view, results, "high")
    cases = results.cases[results.cases["model"] == "high"].set_index("case")
    assert table["voxels"].is_monotonic_increasing
    assert len(table) == 60
    for line in table.itertuples():
        tp, fp, fn = cases.loc[line.case, ["tp", "fp", "fn"]]
        assert (line.voxels, line.dice) == (tp + fn, pytest.approx(2 * tp / (2 * tp + fp + fn)))


@pytest.mark.usefixtures("styled", "svg_only")
def test_panels_of_regions_follow_the_order_of_the_task(tmp_path: Path) -> None:
    """The task lists the largest region first; the volumes alone would put it last."""
    folder = plan(tmp_path, [key("one", 0)], metrics=["dice"])
    cases = {
        f"case{number:02}": {
            region: [(size + number, 1, 1, 300)]
            for region, size in (("whole", 200), ("core", 50), ("enhancing", 90))
        }
        for number in range(24)
    }
    end(folder, key("one", 0), cases)
    results = read_results(folder)
    figure = draw_volume(view_of(results), results)
    assert figure is not None
    titles = [word for word in words(figure.svg) if word in {"whole", "core", "enhancing"}]
    assert titles == ["whole", "core", "enhancing"]


def test_a_running_median_is_over_the_cases_of_similar_volume() -> None:
    table = pd.DataFrame({"voxels": range(1, 8), "dice": [0.0, 1.0, 0.2, 0.3, 0.4, 0.5, 0.6]})
    median = running_median(table)["dice"].tolist()
    assert median[2:5] == pytest.approx([0.3, 0.4, 0.4])
    assert median[0] == pytest.approx(0.2)  # only three cases are near


def test_points_are_spread_evenly_and_the_same_every_time() -> None:
    offsets = jitter(100)
    assert np.array_equal(offsets, jitter(100))
    assert np.histogram(offsets, 10, (0, 1))[0].min() >= 8


def test_metric_names_and_values_follow_the_conventions_of_the_field() -> None:
    assert [metric_name(name) for name in ("dice", "hd95_mm", "nsd@2_mm", "precision")] == [
        "Dice",
        "HD95",
        "NSD@2",
        "precision",
    ]
    assert axis_label("hd95_px") == "HD95 (px)"
    assert [format_value("dice", -0.1234, sign=True), format_value("hd95_mm", 3.456)] == [
        "\N{MINUS SIGN}0.123",
        "3.46",
    ]


def hostile(path: Path, *, models: int, **options: object) -> ResultsFolder:
    return graded(path, {f"<b>{number}</b> & $x$": 0.02 * number for number in range(models)}, **options)


@pytest.mark.parametrize("models", [3, pytest.param(11, marks=pytest.mark.slow)])
def test_every_figure_is_well_formed_and_labelled_as_phantom(tmp_path: Path, models: int, svg_only: None) -> None:
    folder = hostile(tmp_path, models=models, phantom=True)
    results = read_results(folder)
    figures = draw_figures(folder, results, list(boards(results)))
    names = ["cases", "differences", "significance", "ranks", "pareto", "volume"]
    assert [figure.name for figure in figures] == names
    for figure in figures:
        assert "<b>" not in figure.svg
        assert PHANTOM_NOTE in words(figure.svg)
        assert figure.alt


def test_figures_of_several_boards_have_different_names(tmp_path: Path) -> None:
    runs = [key("plain", 0, dataset=dataset) for dataset in ("one", "two")]
    folder = plan(tmp_path, runs)
    for run in runs:
        end(folder, run, PERFECT_0)
    results = read_results(folder)
    assert [view.suffix for view in board_views(results, boards(results))] == ["-one", "-two"]


@pytest.mark.parametrize(("is_narrow", "factors"), [(False, {1, 2, 5}), (True, {1, 3})])
def test_labels_of_a_narrow_logarithmic_axis_are_further_apart(is_narrow: bool, factors: set[int]) -> None:
    axes = Drawing().subplots()
    axes.set_xlim(7e3, 8e5)
    scale_x_axis(axes, np.array([7e3, 8e5]), is_narrow=is_narrow)
    ticks = [tick for tick in axes.get_xticks() if 7e3 <= tick <= 8e5]
    assert {round(tick / 10 ** int(np.log10(tick) + 1e-9)) for tick in ticks} == factors
