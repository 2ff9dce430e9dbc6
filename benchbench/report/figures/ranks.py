"""Blob plots: the ranks that each model gets when patients and folds are resampled."""

from __future__ import annotations

import numpy as np

from benchbench.report.figures.board_view import BoardView, line_per_model
from benchbench.report.figures.canvas import INK, Figure, join_names
from benchbench.statistics import RankStability

_HEIGHT = 0.34  # inches of a line
_FAINTEST = 0.002  # share of draws too small for a visible disc


def draw_ranks(view: BoardView) -> Figure | None:
    """Draw the ranks of each model; None with one model, or with too few patients to resample."""
    stability = view.board.stability
    if not isinstance(stability, RankStability):
        return None
    models, count = stability.models, len(stability.models)
    drawing, axes = line_per_model(models, height=_HEIGHT)
    largest = 72 * min(_HEIGHT * 0.95, 5.0 / count)  # diameter in points of a share of 1
    for number, shares in enumerate(stability.shares):
        places = np.flatnonzero(shares > _FAINTEST)
        heights = np.full(len(places), number)
        areas = largest**2 * shares[places]
        axes.scatter(places + 1, heights, s=areas, color=view.colour(number), linewidths=0)
        ends = [stability.low[number], stability.high[number]]
        axes.plot(ends, [number, number], color=INK, linewidth=0.8)
        axes.plot([stability.ranks[number]], [number], "|", color=INK, markersize=8)
    axes.set(xlim=(0.5, count + 0.5), xlabel="rank")
    axes.set_xticks(range(1, count + 1))
    return view.export(
        drawing,
        "ranks",
        title=f"Ranks by {view.metric} over resampled patients and folds",
        caption=_caption(stability),
        alt=f"How often each of {join_names(models)} got each rank.",
    )


def _caption(stability: RankStability) -> str:
    low, median, high = stability.tau
    return (
        "The area of a disc is the share of draws in which the model got this rank. The line covers 95 % of the"
        f" draws, the tick is the actual rank. {stability.models[0]} was first in {stability.p_same_winner:.0%} of"
        f" draws. Kendall's tau between the actual order and a drawn one: {median:.2f} (95 % of draws {low:.2f} to"
        f" {high:.2f})."
    )
