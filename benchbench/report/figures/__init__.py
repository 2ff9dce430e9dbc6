"""Figures of a benchmark, drawn from its records as SVG for a page, PDF for print and PNG for slides."""

from __future__ import annotations

from collections.abc import Sequence

from benchbench.comparison.board import Board
from benchbench.records.folder import ResultsFolder
from benchbench.report.figures.board_view import BoardView, board_views
from benchbench.report.figures.canvas import Figure, figure_style
from benchbench.report.figures.cases import draw_cases
from benchbench.report.figures.curve_grid import draw_curve_grids
from benchbench.report.figures.curves import draw_curves
from benchbench.report.figures.differences import draw_differences
from benchbench.report.figures.gallery import draw_galleries
from benchbench.report.figures.pareto import draw_pareto
from benchbench.report.figures.ranks import draw_ranks
from benchbench.report.figures.significance import draw_significance
from benchbench.report.figures.volume import draw_volume
from benchbench.tables.results import Results

__all__ = ["Figure", "draw_figures"]


def draw_figures(
    folder: ResultsFolder, results: Results, boards: Sequence[Board], *, pictures: bool = True
) -> list[Figure]:
    """Return every figure that the records allow; those that show images of patients only with `pictures`."""
    figures: list[Figure] = []
    with figure_style():
        for view in board_views(results, boards):
            figures += _draw_board(view, results)
        figures += draw_curves(folder, results, boards)
        figures += draw_curve_grids(folder, results)
        if pictures:
            figures += draw_galleries(folder, results)
    return figures


def _draw_board(view: BoardView, results: Results) -> list[Figure]:
    figures = [
        draw_cases(view),
        draw_differences(view),
        draw_significance(view),
        draw_ranks(view),
        draw_pareto(view, results),
        draw_volume(view, results),
    ]
    return [figure for figure in figures if figure is not None]
