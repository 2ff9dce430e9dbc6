"""Figures of a benchmark, made from its records: for a page as SVG, for print as PDF, for the eye as PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbench.comparison.board import Board
from benchbench.report.figures.canvas import Figure, style
from benchbench.report.figures.cases import draw_cases
from benchbench.report.figures.curves import draw_curves
from benchbench.report.figures.differences import draw_differences
from benchbench.report.figures.gallery import draw_galleries
from benchbench.report.figures.pareto import draw_pareto
from benchbench.report.figures.plate import Plate, plates
from benchbench.report.figures.ranks import draw_ranks
from benchbench.report.figures.significance import draw_significance
from benchbench.report.figures.volume import draw_volume
from benchbench.results.folder import ResultsFolder
from benchbench.tables.results import Results

__all__ = ["Figure", "draw_figures"]


def draw_figures(
    folder: ResultsFolder, results: Results, found: Sequence[Board], *, pictures: bool = True
) -> list[Figure]:
    """Every figure that the records are enough for; those that show patients only with `pictures`."""
    with style():
        statistical = [figure for plate in plates(results, found) for figure in _of(plate, results)]
        galleries = draw_galleries(folder, results) if pictures else ()
        return [*statistical, *draw_curves(folder, results), *galleries]


def _of(plate: Plate, results: Results) -> Iterator[Figure]:
    yield draw_cases(plate)
    drawn = (
        draw_differences(plate),
        draw_significance(plate),
        draw_ranks(plate),
        draw_pareto(plate, results),
        draw_volume(plate, results),
    )
    yield from (figure for figure in drawn if figure is not None)
