"""Forest plots: the paired difference of each model to the leader, and whether it matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchbench.images.arrays import Floats
from benchbench.report.figures.board_view import BoardView, jitter, line_per_model
from benchbench.report.figures.canvas import INK, MUTED, PAPER, SERIES, Figure, join_names, shorten
from benchbench.report.figures.metric_text import format_value
from benchbench.statistics import Interval, Unknown
from benchbench.words import are

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INNER = (0.1, 0.9)  # quantiles of the patients that the axis covers at least


class Gap(NamedTuple):
    """The difference between a model and the leader: model minus leader."""

    model: str
    difference: float
    interval: Interval
    is_decided: bool
    patients: Floats
    """(P,) difference of each patient."""


def gaps_of(view: BoardView) -> list[Gap]:
    """Return the gap of every model but the leader, in the board's order; none where there is no interval."""
    leader, *others = view.models
    leader_patients, *other_patients = view.patients
    comparisons = {(pair.first, pair.second): pair for pair in view.board.comparisons}
    gaps = []
    for model, patients in zip(others, other_patients, strict=True):
        comparison = comparisons[leader, model]
        if not isinstance(comparison.interval, Interval):
            continue
        # a comparison is leader minus model
        interval = Interval(-comparison.interval.high, -comparison.interval.low)
        differences = patients - leader_patients
        gaps.append(Gap(model, -comparison.difference, interval, comparison.is_decided, differences))
    return gaps


def draw_differences(view: BoardView) -> Figure | None:
    """Draw the difference of each model to the leader; None without any interval."""
    gaps = gaps_of(view)
    if not gaps:
        return None
    leader, rope = view.models[0], view.board.rope
    others = [gap.model for gap in gaps]
    drawing, axes = line_per_model(others, height=0.34)
    axes.axvspan(-rope, rope, color=MUTED, alpha=0.2, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.6)
    for number, gap in enumerate(gaps):
        _draw_gap(axes, gap, number, view)
    low, high = _limits(gaps, rope)
    axes.set_xlim(low, high)
    axes.set_xlabel(f"{view.axis} minus that of {shorten(leader)}")
    n_outside = 0
    for gap in gaps:
        is_outside = (gap.patients < low) | (gap.patients > high)
        n_outside += int(is_outside.sum())
    return view.export(
        drawing,
        "differences",
        title=f"Difference in {view.metric} to {leader}",
        caption=_caption(view, n_outside=n_outside),
        alt=f"Mean difference in {view.metric} to {leader} of {join_names(others)}.",
    )


def _draw_gap(axes: Axes, gap: Gap, at: int, view: BoardView) -> None:
    heights = at - 0.3 + 0.6 * jitter(len(gap.patients))
    colour = view.style(gap.model).colour if view.has_colours else SERIES[0]
    axes.scatter(gap.patients, heights, s=6, color=colour, alpha=0.4, linewidths=0, rasterized=view.is_crowded)
    ends = [gap.interval.low, gap.interval.high]
    axes.plot(ends, [at, at], color=INK, linewidth=1.6, solid_capstyle="butt")
    fill = INK if gap.is_decided else PAPER
    axes.plot([gap.difference], [at], "o", color=INK, markerfacecolor=fill, markersize=5, markeredgewidth=1)
    metric = view.board.metric
    mean = format_value(metric, gap.difference, sign=True)
    low = format_value(metric, gap.interval.low, sign=True)
    high = format_value(metric, gap.interval.high, sign=True)
    axes.annotate(
        f"{mean} [{low}, {high}]",
        (1, at),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=7,
    )


def _limits(gaps: Sequence[Gap], rope: float) -> tuple[float, float]:
    """Return axis limits that cover every interval and most patients; one outlier would squeeze all others."""
    ends = [-1.5 * rope, 1.5 * rope]
    for gap in gaps:
        ends += [gap.interval.low, gap.interval.high]
        ends += np.quantile(gap.patients, _INNER).tolist()
    low, high = min(ends), max(ends)
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _caption(view: BoardView, *, n_outside: int) -> str:
    worse = "right" if view.board.panel.is_lower_better else "left"
    outside = ""
    if n_outside:
        outside = f" {are(n_outside, 'point')} outside the axis."
    interval = "with its 95 % interval"
    if isinstance(view.board.comparisons[0].interval, Unknown):
        interval = "without interval"
    return (
        f"Mean paired difference {interval}; faint points are patients."
        f" Further to the {worse} is worse. Differences in the grey band, ±{view.board.rope:g}, do not matter in"
        " practice. A filled circle marks a model that is shown to be worse than the leader"
        f" ({view.board.family}).{outside}"
    )
