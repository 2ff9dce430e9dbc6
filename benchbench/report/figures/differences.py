"""Forest plots: how far each model is from the leader, patient by patient, and whether that matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchbench.images.arrays import Floats
from benchbench.report.figures.canvas import INK, MUTED, PAPER, Figure, listed, short
from benchbench.report.figures.measure import written
from benchbench.report.figures.plate import Plate, lines_of, scattered
from benchbench.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INNER = (0.1, 0.9)  # the axis has at least these quantiles of the patients


class Gap(NamedTuple):
    """A model minus the leader."""

    model: str
    difference: float
    interval: Interval
    is_separable: bool
    patients: Floats


def gaps_of(plate: Plate) -> list[Gap]:
    """Of every model but the leader, in the board's order; none where patients are too few for an interval."""
    leader, values = plate.models[0], plate.patients
    found = {each.second: each for each in plate.board.comparisons if each.first == leader}
    return [
        Gap(
            model,
            -each.difference,
            Interval(-each.interval.high, -each.interval.low),
            each.is_separable,
            own - values[0],
        )
        for model, own in zip(plate.models[1:], values[1:], strict=True)
        if isinstance((each := found[model]).interval, Interval)
    ]


def draw_differences(plate: Plate) -> Figure | None:
    """None where nothing can be said of any difference."""
    gaps = gaps_of(plate)
    if not gaps:
        return None
    leader, rope = plate.models[0], plate.board.rope
    drawing, axes = lines_of([gap.model for gap in gaps], height=0.34)
    axes.axvspan(-rope, rope, color=MUTED, alpha=0.2, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.6)
    for number, gap in enumerate(gaps):
        _draw_gap(axes, gap, number, plate)
    low, high = _limits(gaps, rope)
    axes.set_xlim(low, high)
    axes.set_xlabel(f"{plate.axis} minus that of {short(leader)}")
    outside = sum(int(((gap.patients < low) | (gap.patients > high)).sum()) for gap in gaps)
    return plate.finish(
        drawing,
        "differences",
        title=f"Difference in {plate.metric} to {leader}",
        caption=_caption(plate, rope, outside),
        alt=f"Mean difference in {plate.metric} to {leader} of {listed([gap.model for gap in gaps])}.",
    )


def _draw_gap(axes: Axes, gap: Gap, at: int, plate: Plate) -> None:
    spots = at - 0.3 + 0.6 * scattered(len(gap.patients))
    axes.scatter(
        gap.patients, spots, s=6, color=plate.colour(1), alpha=0.4, linewidths=0, rasterized=plate.is_crowded
    )
    axes.plot(gap.interval[:2], [at, at], color=INK, linewidth=1.6, solid_capstyle="butt")
    filling = INK if gap.is_separable else PAPER
    axes.plot([gap.difference], [at], "o", color=INK, markerfacecolor=filling, markersize=5, markeredgewidth=1)
    low, mean, high = (
        written(plate.board.metric, value, sign=True)
        for value in (gap.interval.low, gap.difference, gap.interval.high)
    )
    axes.annotate(
        f"{mean} [{low}, {high}]", (1, at), xycoords=("axes fraction", "data"), xytext=(4, 0),
        textcoords="offset points", va="center", fontsize=7,
    )  # fmt: skip


def _limits(gaps: Sequence[Gap], rope: float) -> tuple[float, float]:
    """Wide enough for every interval and most patients: one of them far off would hide all others."""
    lows = [
        -1.5 * rope,
        *(gap.interval.low for gap in gaps),
        *(np.quantile(gap.patients, _INNER[0]) for gap in gaps),
    ]
    highs = [
        1.5 * rope,
        *(gap.interval.high for gap in gaps),
        *(np.quantile(gap.patients, _INNER[1]) for gap in gaps),
    ]
    low, high = float(min(lows)), float(max(highs))
    return low - 0.04 * (high - low), high + 0.04 * (high - low)


def _caption(plate: Plate, rope: float, outside: int) -> str:
    worse = "right" if plate.board.panel.is_lower_better else "left"
    beyond = f" {outside} points lie beyond the axis." if outside else ""
    return (
        f"Mean paired difference with 95 % interval; faint points are patients. Further to the {worse} is worse."
        f" The grey band, ±{rope:g}, does not matter in practice. A filled circle is separable from the leader"
        f" ({plate.board.family}).{beyond}"
    )
