"""Blob plots: which place each model would have had among other patients and folds."""

from __future__ import annotations

import numpy as np

from benchbench.report.figures.canvas import INK, Figure, listed
from benchbench.report.figures.plate import Plate, lines_of
from benchbench.statistics import RankStability

_FAINTEST = 0.002  # a share that leaves no visible blob


def draw_ranks(plate: Plate) -> Figure | None:
    """None where there are too few patients to resample, or one model."""
    stability = plate.board.stability
    if not isinstance(stability, RankStability):
        return None
    models, count = stability.models, len(stability.models)
    height = 0.34
    drawing, axes = lines_of(list(models), height=height)
    largest = 72 * min(height * 0.95, 5.0 / count)  # points, of a share of 1
    for number, shares in enumerate(stability.shares):
        places = np.flatnonzero(shares > _FAINTEST)
        axes.scatter(
            places + 1,
            np.full(len(places), number),
            s=largest**2 * shares[places],
            color=plate.colour(number),
            linewidths=0,
        )
        axes.plot([stability.low[number], stability.high[number]], [number, number], color=INK, linewidth=0.8)
        axes.plot([stability.ranks[number]], [number], "|", color=INK, markersize=8)
    axes.set(xlim=(0.5, count + 0.5), xlabel="rank")
    axes.set_xticks(range(1, count + 1))
    return plate.finish(
        drawing,
        "ranks",
        title=f"Ranks by {plate.metric} over resampled patients and folds",
        caption=_caption(stability),
        alt=f"How often each of {listed(models)} had each rank.",
    )


def _caption(stability: RankStability) -> str:
    low, median, high = stability.tau
    return (
        "The area of a disc is the share of draws in which a model had a rank; the line spans 95 % of them, the"
        f" tick is the rank as it is. {stability.models[0]} was first in {stability.p_same_winner:.0%} of draws."
        f" Kendall's tau between this order and a drawn one: {median:.2f} (95 % of draws {low:.2f} to {high:.2f})."
    )
