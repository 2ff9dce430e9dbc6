"""Score against cost, with the Pareto front: the models for which no other is both better and cheaper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchbench.images.arrays import Floats
from benchbench.report.figures.board_view import BoardView, scale_x_axis
from benchbench.report.figures.canvas import MUTED, Figure, join_names, new_drawing, shorten
from benchbench.report.figures.costs import Cost, costs_of
from benchbench.spec.metric_names import is_overlap
from benchbench.statistics import Interval
from benchbench.tables.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_MOST_PANELS = 3
_LEAST_SCORES = 4.0  # width of the axis of scores, in differences that matter
_LEAST_COSTS = 0.5  # width of the axis of costs, of the highest cost
_MARGIN = 0.06  # of an axis at each end
_POINTS_PER_INCH = 72
_PANEL = np.array((1.6, 1.7)) * _POINTS_PER_INCH  # approximate size of a panel in points
_NUMBER = (9.0, 7.0)  # size of a printed number in points
_OFFSETS = ((9, 5), (-9, 5), (9, -5), (-9, -5), (0, 9), (0, -9), (12, 0), (-12, 0), (0, 17), (0, -17))


def draw_pareto(view: BoardView, results: Results) -> Figure | None:
    """Draw the first three costs that at least two models have; None without any."""
    costs = list(costs_of(view, results))[:_MOST_PANELS]
    if not costs:
        return None
    legend_lines = -(-len(view.models) // 3)
    drawing = new_drawing(2.6 + 0.16 * legend_lines)
    panels = drawing.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for panel, (cost, values) in zip(panels, costs, strict=True):
        _draw_panel(panel, view, values)
        panel.set_xlabel(cost.title)
    panels[0].set_ylabel(view.axis)
    _draw_legend(drawing, view)
    titles = [cost.title for cost, _ in costs]
    return view.export(
        drawing,
        "pareto",
        title=f"{view.metric} against cost",
        caption=_caption(view, [cost for cost, _ in costs]),
        alt=f"{view.metric} of {join_names(view.models)} against {join_names(titles)}.",
    )


def front(costs: Sequence[float], means: Sequence[float], *, is_lower_better: bool) -> list[int]:
    """Return the indices of the Pareto front, from the cheapest: all that no other matches at the same cost."""
    losses = np.asarray(means)
    if not is_lower_better:
        losses = -losses
    indices = []
    lowest = np.inf
    for index in np.lexsort((losses, np.asarray(costs))).tolist():
        if losses[index] < lowest:
            indices.append(index)
            lowest = losses[index]
    return indices


def _draw_panel(panel: Axes, view: BoardView, costs_by_label: Mapping[str, float]) -> None:
    numbers = [number for number, label in enumerate(view.models) if label in costs_by_label]
    costs = [costs_by_label[view.models[number]] for number in numbers]
    means = [view.board.means[view.models[number]] for number in numbers]
    panel.grid()
    scale_x_axis(panel, np.asarray(costs), is_narrow=True)
    _draw_front(panel, costs, means, is_lower_better=view.board.panel.is_lower_better)
    _keep_scale(panel, costs, means, view)

    for number, cost, mean in zip(numbers, costs, means, strict=True):
        colour = view.colour(number)
        interval = view.board.intervals[view.models[number]]
        if isinstance(interval, Interval):
            ends = [interval.low, interval.high]
            panel.plot([cost, cost], ends, color=colour, linewidth=0.8, alpha=0.6)
        panel.plot([cost], [mean], view.marker(number), color=colour, markersize=5, markeredgewidth=0)
    if not view.has_colours:
        _draw_numbers(panel, numbers, costs, means)


def _keep_scale(panel: Axes, costs: Sequence[float], means: Sequence[float], view: BoardView) -> None:
    """Widen the axes where a difference that does not matter would fill them.

    The scores cover every interval and several times the difference that matters; the costs cover a half of the
    highest.
    """
    ends = list(means)
    for interval in view.board.intervals.values():
        if isinstance(interval, Interval):
            ends += [interval.low, interval.high]
    low, high = _at_least(min(ends), max(ends), width=_LEAST_SCORES * view.board.rope)
    if is_overlap(view.board.metric):
        high = min(high, 1 + _MARGIN * (high - low))
    panel.set_ylim(low, high)
    if panel.get_xscale() == "linear":
        panel.set_xlim(*_at_least(min(costs), max(costs), width=_LEAST_COSTS * max(costs)))


def _at_least(low: float, high: float, *, width: float) -> tuple[float, float]:
    """Return the ends of an axis that covers the values, with a margin, and is at least `width` long."""
    middle, half = (low + high) / 2, max(high - low, width) * (0.5 + _MARGIN)
    return middle - half, middle + half


def _draw_front(panel: Axes, costs: Sequence[float], means: Sequence[float], *, is_lower_better: bool) -> None:
    """Draw a step at each model of the front, and a level line up to the most expensive model."""
    best = front(costs, means, is_lower_better=is_lower_better)
    last = best[-1]
    xs = [*(costs[index] for index in best), max(costs)]
    ys = [*(means[index] for index in best), means[last]]
    panel.step(xs, ys, where="post", color=MUTED, linewidth=0.8, linestyle="--", zorder=1)


def _draw_numbers(panel: Axes, numbers: Sequence[int], costs: Sequence[float], means: Sequence[float]) -> None:
    """Print each model's position next to its point, away from other numbers and points."""
    xs = _rescale(np.log(costs))
    ys = _rescale(np.asarray(means))
    points = np.stack([xs, ys], axis=1) * _PANEL
    occupied = list(points)
    for number, point, cost, mean in zip(numbers, points, costs, means, strict=True):
        offset = _free_offset(point, occupied)
        occupied.append(point + offset)
        panel.annotate(
            f"{number + 1}",
            (cost, mean),
            xytext=offset,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=6.5,
        )


def _free_offset(point: Floats, occupied: Sequence[Floats]) -> tuple[int, int]:
    """Return the first offset at which a number covers nothing, or the one with the most room."""
    rooms = []
    for offset in _OFFSETS:
        place = point + offset
        distances = np.abs(np.stack(occupied) - place) / _NUMBER
        room = float(distances.max(axis=1).min())
        if room >= 1:
            return offset
        rooms.append(room)
    return _OFFSETS[int(np.argmax(rooms))]


def _rescale(values: Floats) -> Floats:
    """Return the values scaled to [0, 1]."""
    width = max(float(np.ptp(values)), 1e-12)
    rescaled: Floats = (values - values.min()) / width
    return rescaled


def _draw_legend(drawing: Drawing, view: BoardView) -> None:
    """Explain which model each colour, or each number, is."""
    from matplotlib.lines import Line2D  # noqa: PLC0415 as in canvas

    handles = []
    for number, model in enumerate(view.models):
        label, marker = shorten(model), view.marker(number)
        if not view.has_colours:
            label, marker = f"{number + 1}  {label}", ""
        colour = view.colour(number)
        handles.append(Line2D([], [], linestyle="", marker=marker, color=colour, markersize=5, label=label))
    drawing.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4 if len(handles) == 4 else 3,
        handlelength=1 if view.has_colours else 0,
        fontsize=7,
    )


def _caption(view: BoardView, costs: Sequence[Cost]) -> str:
    times = ""
    if any(cost.is_timed for cost in costs):
        times = " All times are from the same machine; ensembles have no training time."
    return (
        f"Mean {view.metric} {view.interval_text} against cost. The dashed line is the Pareto front: it joins the"
        f" models for which no other model is as good at the same or a lower cost.{times}"
    )
