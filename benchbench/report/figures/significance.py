"""A map of all pairs of models that shows which of them differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchbench.report.figures.board_view import BoardView
from benchbench.report.figures.canvas import (
    INK,
    MUTED,
    PAPER,
    Figure,
    join_names,
    new_drawing,
    shorten,
)
from benchbench.statistics import Comparison, Unknown
from benchbench.words import are

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROOMY = 10  # up to so many models, a cell has room for more than a sign


def draw_significance(view: BoardView) -> Figure | None:
    """Draw the map; None with one model, or with too few patients for a test."""
    comparisons = view.board.comparisons
    if not comparisons or not all(map(_is_known, comparisons)):
        return None
    models = view.models
    is_roomy = len(models) <= _ROOMY
    side = min(0.42, 5.0 / len(models))
    head = 1.1 if is_roomy else 0.5
    drawing = new_drawing(head + side * (len(models) - is_roomy))
    axes = drawing.subplots()
    for comparison in comparisons:
        row = models.index(comparison.first)
        column = models.index(comparison.second) - 1
        _draw_cell(axes, comparison, column, row, is_roomy=is_roomy)
    _label_axes(axes, models, is_roomy=is_roomy)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set(xlim=(-0.5, len(models) - 1.5), aspect="equal", anchor="W")
    axes.spines[:].set_visible(False)
    n_decided = sum(comparison.is_decided for comparison in comparisons)
    return view.export(
        drawing,
        "significance",
        title=f"Differences shown by {view.metric}",
        caption=_caption(view),
        alt=f"{n_decided} of {are(len(comparisons), 'pair')} shown to differ: {join_names(models)}.",
    )


def _is_known(comparison: Comparison) -> bool:
    return not isinstance(comparison.p_holm, Unknown) and not isinstance(comparison.interval, Unknown)


def _label_axes(axes: Axes, models: Sequence[str], *, is_roomy: bool) -> None:
    """Label all rows but the last and all columns but the first; many columns have the numbers of their rows."""
    if is_roomy:
        rows = [shorten(model) for model in models[:-1]]
        columns = [shorten(model, longest=20) for model in models[1:]]
        axes.set_xticks(range(len(columns)), columns, rotation=40, ha="left", rotation_mode="anchor")
    else:
        rows = [f"{shorten(model)} ({number})" for number, model in enumerate(models, start=1)]
        axes.set_xticks(range(len(models) - 1), range(2, len(models) + 1))
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)


def _draw_cell(axes: Axes, comparison: Comparison, column: int, row: int, *, is_roomy: bool) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415 as in canvas

    p = _format_p(comparison.p_holm)
    if comparison.is_decided:
        fill, opacity = INK, 1.0
        text, colour = p, PAPER
    else:
        fill, opacity = MUTED, 0.15
        sign = "=" if comparison.is_equivalent else "?"
        text, colour = f"{sign}\n{p}" if is_roomy else sign, INK
    corner = (column - 0.47, row - 0.47)
    axes.add_patch(Rectangle(corner, 0.94, 0.94, linewidth=0, facecolor=fill, alpha=opacity))
    size = 6.5 if is_roomy else 5
    axes.text(column, row, text, ha="center", va="center", size=size, color=colour)


def _format_p(p: float | Unknown) -> str:
    assert not isinstance(p, Unknown), "a map is drawn of known values"
    if p < 0.001:
        return "<.001"
    return f"{p:.3f}".removeprefix("0")


def _caption(view: BoardView) -> str:
    return (
        "Each row compared with each column, models ordered from the best mean. Filled: the row's model is better."
        f" Pale: no difference is shown; = marks models that are equivalent within {view.board.rope:g}, ? the"
        f" undecided ones. Numbers are p-values of the difference ({view.board.family})."
    )
