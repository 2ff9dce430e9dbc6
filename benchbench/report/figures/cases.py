"""Rainclouds: the score of every patient under every model, their density and the mean with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchbench.images.arrays import Floats
from benchbench.report.figures.canvas import INK, MUTED, SERIES, Figure, listed
from benchbench.report.figures.plate import Plate, draw_mean, lines_of, scattered
from benchbench.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CLOUD = 0.4  # height of a density, of a line
_RAIN = (0.1, 0.34)  # where points fall, below the middle of a line
_FEWEST = 5  # patients of a density


def draw_cases(plate: Plate) -> Figure:
    """Of every model; up to six have colours of their own and their patients joined by lines."""
    models, values = plate.models, plate.patients
    are_joined = 1 < len(models) <= len(SERIES)
    drawing, axes = lines_of(models, height=0.72 if len(models) <= len(SERIES) else 0.36)
    spots = _RAIN[0] + (_RAIN[1] - _RAIN[0]) * scattered(values.shape[1])
    if are_joined:
        _join(axes, values, spots, is_crowded=plate.is_crowded)
    for number, (model, of_model) in enumerate(zip(models, values, strict=True)):
        colour = plate.colour(number)
        _cloud(axes, of_model, number, colour)
        axes.scatter(
            of_model, number + spots, s=7, color=colour, alpha=0.6, linewidths=0, rasterized=plate.is_crowded
        )
        interval, mean = plate.board.intervals[model], plate.board.means[model]
        low, high = interval[:2] if isinstance(interval, Interval) else (mean, mean)
        draw_mean(axes, low, mean, high, number)
    axes.set_xlabel(plate.axis)
    lines = ", grey lines join the same patient" if are_joined else ""
    return plate.finish(
        drawing,
        "cases",
        title=f"{plate.metric} of every patient",
        caption=(
            f"Each point is one of {values.shape[1]} patients{lines}; above is their density, between them"
            f" the mean{_interval_words(plate)}. Models from the best mean."
        ),
        alt=f"{plate.metric} of {values.shape[1]} patients under each of {listed(models)}.",
    )


def _interval_words(plate: Plate) -> str:
    found = plate.board.intervals.values()
    if not all(isinstance(each, Interval) for each in found):
        return f" without interval ({next(each.reason for each in found if not isinstance(each, Interval))})"
    warnings = dict.fromkeys(each.warning for each in found if isinstance(each, Interval) and each.warning)
    return " with its 95 % interval" + (f" ({'; '.join(warnings)})" if warnings else "")


def _join(axes: Axes, values: Floats, spots: Floats, *, is_crowded: bool) -> None:
    """A thin line through each patient's points."""
    from matplotlib.collections import LineCollection  # noqa: PLC0415 as in canvas

    places = np.arange(len(values))[:, None] + spots
    lines = np.stack([values.T, places.T], axis=-1)  # (P, M, 2)
    axes.add_collection(
        LineCollection(lines, colors=MUTED, linewidths=0.4, alpha=0.35, zorder=1, rasterized=is_crowded)
    )


def _cloud(axes: Axes, values: Floats, at: int, colour: str) -> None:
    """The density between the least and the largest value; none of few patients, or of equal ones."""
    from scipy.stats import gaussian_kde  # noqa: PLC0415 a second that other commands do not pay

    if len(values) < _FEWEST or np.ptp(values) < 1e-9:
        return
    grid = np.linspace(values.min(), values.max(), 80)
    density = gaussian_kde(values)(grid)
    axes.fill_between(
        grid,
        at - 0.06 - (_CLOUD - 0.06) * density / density.max(),
        at - 0.06,
        color=colour,
        alpha=0.35,
        linewidth=0,
    )
    axes.plot(
        np.quantile(values, [0.25, 0.75]), [at, at], color=INK, linewidth=4, alpha=0.25, solid_capstyle="butt"
    )
