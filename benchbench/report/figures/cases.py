"""Raincloud plots: the score of every patient under each model, its density, and the mean with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchbench.images.arrays import Floats
from benchbench.report.figures.board_view import BoardView, draw_mean, jitter, line_per_model
from benchbench.report.figures.canvas import INK, MUTED, Figure, join_names
from benchbench.statistics import Interval
from benchbench.words import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CLOUD_TOP, _CLOUD_BASE = 0.4, 0.06  # above the middle of a model's line, in line heights
_POINTS_TOP, _POINTS_BOTTOM = 0.1, 0.34  # below it
_FEWEST = 5  # patients of a density
_SAME = 1e-9


def draw_cases(view: BoardView) -> Figure:
    """Draw the patients of every model; up to six models have colours and lines that join the same patient."""
    models, values = view.models, view.patients
    drawing, axes = line_per_model(models, height=0.72 if view.has_colours else 0.36)
    n_patients = values.shape[1]
    offsets = _POINTS_TOP + (_POINTS_BOTTOM - _POINTS_TOP) * jitter(n_patients)
    is_joined = len(models) > 1 and view.has_colours
    if is_joined:
        _join_patients(axes, values, offsets, is_crowded=view.is_crowded)
    for number in range(len(models)):
        _draw_model(axes, view, number, offsets)
    axes.set_xlabel(view.axis)
    lines = ""
    if is_joined:
        lines = "; grey lines join the points of the same patient"
    has_densities = any(_has_density(patients) for patients in values)
    caption = (
        f"Each point is one of {n_patients} patients{lines}. {_drawn_parts(view, has_densities=has_densities)}"
        " Models are ordered from the best mean."
    )
    return view.export(
        drawing,
        "cases",
        title=f"{view.metric} of every patient",
        caption=caption,
        alt=f"{view.metric} of {count(n_patients, 'patient')} under each of {join_names(models)}.",
    )


def _drawn_parts(view: BoardView, *, has_densities: bool) -> str:
    """Return the sentence on the parts of each line; densities and quartiles are drawn where patients differ."""
    if not has_densities:
        return f"Above the points is the mean {view.interval_text}."
    return (
        f"Above the points is their density; between the two are the mean {view.interval_text} and, as a"
        " broad grey bar, the range between the quartiles."
    )


def _has_density(values: Floats) -> bool:
    """Return True if there are enough patients for a density, and not all of them are equal."""
    return len(values) >= _FEWEST and float(np.ptp(values)) >= _SAME


def _draw_model(axes: Axes, view: BoardView, number: int, offsets: Floats) -> None:
    model = view.models[number]
    values = view.patients[number]
    colour, marker = view.colour(number), view.marker(number)
    _draw_density(axes, values, number, colour)
    axes.scatter(values, number + offsets, s=7, color=colour, alpha=0.6, linewidths=0, rasterized=view.is_crowded)
    mean = view.board.means[model]
    interval = view.board.intervals[model]
    if isinstance(interval, Interval):
        draw_mean(axes, interval.low, mean, interval.high, number, marker=marker)
    else:
        draw_mean(axes, mean, mean, mean, number, marker=marker)


def _join_patients(axes: Axes, values: Floats, offsets: Floats, *, is_crowded: bool) -> None:
    """Draw a thin line through the points of each patient."""
    from matplotlib.collections import LineCollection  # noqa: PLC0415 as in canvas

    heights = np.arange(len(values))[:, None] + offsets
    lines = np.stack([values.T, heights.T], axis=-1)  # (P, M, 2)
    axes.add_collection(
        LineCollection(
            lines,
            colors=MUTED,
            linewidths=0.4,
            alpha=0.35,
            zorder=1,
            rasterized=is_crowded,
        )
    )


def _draw_density(axes: Axes, values: Floats, at: int, colour: str) -> None:
    """Draw the density and the interquartile range; nothing for few patients or equal values."""
    from scipy.stats import gaussian_kde  # noqa: PLC0415 its import takes a second

    if not _has_density(values):
        return
    grid = np.linspace(values.min(), values.max(), 80)
    density = gaussian_kde(values)(grid)
    base = at - _CLOUD_BASE
    top = base - (_CLOUD_TOP - _CLOUD_BASE) * density / density.max()
    axes.fill_between(grid, top, base, color=colour, alpha=0.35, linewidth=0)
    quartiles = np.quantile(values, [0.25, 0.75])
    axes.plot(quartiles, [at, at], color=INK, linewidth=4, alpha=0.25, solid_capstyle="butt")
