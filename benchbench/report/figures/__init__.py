"""Figures of a benchmark, made from its records: for a page as SVG, for print as PDF, for the eye as PNG."""

from __future__ import annotations

from benchbench.report.figures.canvas import Figure, style
from benchbench.report.figures.curves import draw_curves
from benchbench.report.figures.gallery import draw_galleries
from benchbench.store import ResultsFolder
from benchbench.tables import Results

__all__ = ["Figure", "draw_figures"]


def draw_figures(folder: ResultsFolder, results: Results, *, pictures: bool = True) -> list[Figure]:
    """Every figure that the records are enough for; those that show patients only with `pictures`."""
    with style():
        galleries = draw_galleries(folder, results) if pictures else ()
        return [*draw_curves(folder, results), *galleries]
