"""Learning curves show the values of history.csv, in the same bytes every time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from handmade import FOLD_0, PERFECT_0, PERFECT_1, end, key, plan
from toy_benchmark import Finished

from benchbench.comparison.board import boards
from benchbench.records.folder import ResultsFolder
from benchbench.records.history import write_history
from benchbench.report import write_report
from benchbench.report.figures import Figure
from benchbench.report.figures.canvas import figure_style
from benchbench.report.figures.curve_grid import draw_curve_grids
from benchbench.report.figures.curves import Trace, curves_of, draw_curves, draw_trace, scale_axes
from benchbench.tables.results import PHANTOM_NOTE, read_results


def trained(path: Path, models: Sequence[str], *, phantom: bool = False) -> ResultsFolder:
    """Return two folds of each model; the second has a loss that is 1 higher, and one epoch fewer."""
    keys = [key(model, fold) for model in models for fold in (0, 1)]
    folder = plan(path, keys, phantom=phantom)
    for run in keys:
        end(folder, run, (PERFECT_0, PERFECT_1)[run.fold], best_epoch=1)
        write_history(
            folder.run(run),
            [
                {
                    "epoch": epoch,
                    "train_loss": 3.0 - epoch + run.fold,
                    "validation_loss": 2.0 - epoch / 2,
                    "validation_dice_case": 0.1 * epoch,
                }
                for epoch in range(4 - run.fold)
            ],
        )
    return folder


def curves(folder: ResultsFolder) -> list[Figure]:
    with figure_style():
        return list(draw_curves(folder, read_results(folder)))


def test_a_curve_is_the_mean_and_the_range_over_folds_up_to_the_shortest_run(tmp_path: Path) -> None:
    folder = trained(tmp_path, ["plain"])
    (of_plain,) = curves_of(folder, read_results(folder), "discs")
    loss = of_plain.traces["train_loss"]
    assert loss.epochs.tolist() == [1, 2, 3]
    assert loss.mean.tolist() == [3.5, 2.5, 1.5]
    assert (loss.low.tolist(), loss.high.tolist()) == ([3, 2, 1], [4, 3, 2])
    assert list(of_plain.checkpoints) == [(1, pytest.approx(0.1)), (1, pytest.approx(0.1))]


@pytest.mark.usefixtures("svg_only")
def test_a_model_has_the_colour_of_the_other_figures(tmp_path: Path) -> None:
    """The plan lists the worst model first, and the best last; colours go to models from the best."""
    folder = trained(tmp_path, ["worst", "unfinished", "best"])
    end(folder, key("worst", 0), FOLD_0, best_epoch=1)
    end(folder, key("unfinished", 1), None, status="failed", reason="memory")
    results = read_results(folder)
    (board,) = boards(results)
    assert list(board.rows) == ["best", "worst"]
    with figure_style():
        (figure,) = draw_curves(folder, results, [board])
    legend = [
        text
        for text in re.findall(r"<text[^>]*>([^<]*)</text>", figure.svg)
        if text in {*board.rows, "unfinished"}
    ]
    assert legend == ["best", "worst", "unfinished"]


@pytest.mark.slow
@pytest.mark.usefixtures("svg_only")
def test_few_rows_share_axes_and_many_have_separate_panels(tmp_path: Path) -> None:
    few = trained(tmp_path / "few", ["one", "two"])
    many = trained(tmp_path / "many", [f"model_{number}" for number in range(9)])
    assert [figure.name for figure in curves(few)] == ["curves"]
    assert len(curves(many)) == 2


def test_a_report_writes_each_figure_as_svg_pdf_and_png(finished: Finished) -> None:
    files = {path.name for path in (finished.folder.path / "figures").iterdir()}
    assert {"curves.svg", "curves.pdf", "curves.png", "cases.svg", "cases.pdf", "cases.png"} <= files


@pytest.mark.slow
def test_a_figure_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    folder = trained(tmp_path, ["one", "two"])
    (figure,) = curves(folder)
    assert all(len(content) > 1000 for content in (figure.svg, figure.pdf, figure.png))
    assert curves(folder) == [figure]


@pytest.mark.slow
def test_all_figures_of_a_report_have_the_same_bytes_every_time(tmp_path: Path) -> None:
    folder = trained(tmp_path, ["one", "two"])
    write_report(folder)
    first = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    write_report(folder)
    assert {"curves.svg", "curves.pdf", "curves.png", "cases.svg", "pareto.pdf"} < set(first)
    assert {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()} == first


@pytest.mark.usefixtures("svg_only")
def test_a_name_from_outside_is_text_in_a_figure_and_not_markup(tmp_path: Path) -> None:
    folder = trained(tmp_path, ["<script>alert(1)</script>", "two"])
    write_report(folder)
    svg = (tmp_path / "figures" / "curves.svg").read_text()
    assert "<script" not in svg
    ET.fromstring(svg)  # noqa: S314 our own file


@pytest.mark.usefixtures("svg_only")
def test_numbers_in_a_name_are_not_rounded(tmp_path: Path) -> None:
    folder = trained(tmp_path, ["lr=0.0001", "lr=0.12345"])
    (figure,) = curves(folder)
    assert ">lr=0.0001<" in figure.svg
    assert ">lr=0.12345<" in figure.svg


@pytest.mark.usefixtures("svg_only")
def test_a_figure_of_phantom_data_carries_a_note(tmp_path: Path) -> None:
    (real,) = curves(trained(tmp_path / "a", ["one"]))
    (of_phantom,) = curves(trained(tmp_path / "b", ["one"], phantom=True))
    assert PHANTOM_NOTE in of_phantom.svg
    assert PHANTOM_NOTE not in real.svg


SETTINGS = {
    f"{norm} {lr}": {"protocol.optimizer.lr": lr, "models.plain.norm": norm}
    for lr in (0.1, 0.01)
    for norm in ("none", "batch")
}


def pairs(path: Path, *, epochs: int = 4) -> ResultsFolder:
    """Return a model with and without normalisation at two rates, of which the last pair is not run."""
    keys = [key("plain", 0, variant=variant) for variant in SETTINGS]
    curves_by = {"rows": "protocol.optimizer.lr", "columns": "models.plain.norm"}
    folder = plan(path, keys, settings=SETTINGS, curves=curves_by)
    for run in keys[:-1]:
        end(folder, run, PERFECT_0, best_epoch=0)
        rows = [{"epoch": epoch, "train_loss": 1.0, "validation_loss": 2.0} for epoch in range(epochs)]
        write_history(folder.run(run), [{**row, "validation_dice_case": 0.5} for row in rows])
    return folder


def texts_of(figure: Figure) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", figure.svg)


@pytest.mark.usefixtures("svg_only")
def test_learning_curves_by_two_settings_have_a_panel_for_each_pair(tmp_path: Path) -> None:
    folder = pairs(tmp_path)
    with figure_style():
        (figure,) = draw_curve_grids(folder, read_results(folder))
    titles = [text for text in texts_of(figure) if text.startswith("lr ")]
    # a line of panels for each rate, without normalisation on the left
    assert titles == ["lr 0.1, norm none", "lr 0.1, norm batch", "lr 0.01, norm none", "lr 0.01, norm batch"]
    assert texts_of(figure).count("not run yet") == 1
    assert {"training loss", "validation loss"} <= set(texts_of(figure))
    assert figure.title == "Learning curves of plain on discs, by lr and norm"
    write_report(folder)
    assert 'id="figure-curves-by-setting"' in (tmp_path / "index.html").read_text()


@pytest.mark.usefixtures("svg_only")
def test_a_benchmark_without_curves_has_no_panels_by_settings(tmp_path: Path) -> None:
    folder = trained(tmp_path, ["plain"])
    assert list(draw_curve_grids(folder, read_results(folder))) == []


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 100])
def test_an_axis_of_epochs_has_whole_numbers(epochs: int) -> None:
    from matplotlib.figure import Figure as Drawing

    values = np.linspace(1.0, 0.5, epochs)
    trace = Trace(np.arange(epochs) + 1.0, values, values, values)
    panel = Drawing().subplots()
    draw_trace(panel, trace, "#000000", "loss")
    scale_axes(panel, [trace], "train_loss")
    low, high = panel.get_xlim()
    ticks = [tick for tick in panel.get_xticks() if low <= tick <= high]
    assert ticks
    assert all(float(tick).is_integer() for tick in ticks)


def test_runs_without_a_history_have_no_figure(tmp_path: Path) -> None:
    folder = plan(tmp_path, [key("plain", 0)])
    end(folder, key("plain", 0), PERFECT_0)
    assert curves(folder) == []
