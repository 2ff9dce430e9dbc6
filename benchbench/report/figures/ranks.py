"""The ranks that each model may have, from the differences that are shown."""

from __future__ import annotations

from benchbench.report.figures.board_view import BoardView, line_per_model
from benchbench.report.figures.canvas import INK, Figure, join_names
from benchbench.statistics import Unknown

_HEIGHT = 0.34  # inches of a line


def draw_ranks(view: BoardView) -> Figure | None:
    """Draw the interval of the rank of each model; None with one model, or with too few patients for a test."""
    ranks = view.board.ranks
    is_tested = any(not isinstance(pair.p, Unknown) for pair in view.board.comparisons)
    if not is_tested:
        return None
    models = list(ranks)
    drawing, axes = line_per_model(models, height=_HEIGHT)
    for number, model in enumerate(models):
        low, high = ranks[model]
        colour = view.colour(number)
        axes.plot([low, high], [number, number], color=colour, linewidth=5, solid_capstyle="round")
        axes.plot([number + 1], [number], view.marker(number), color=INK, markersize=4)
    axes.set(xlim=(0.5, len(models) + 0.5), xlabel="rank")
    axes.set_xticks(range(1, len(models) + 1))
    return view.export(
        drawing,
        "ranks",
        title=f"Ranks by {view.metric}",
        caption=_caption(view),
        alt=f"The ranks that each of {join_names(models)} may have.",
    )


def _caption(view: BoardView) -> str:
    return (
        "The bar covers the ranks that a model may have: below all models shown to be better, above all shown"
        " to be worse. All bars hold together with a probability of 95 %. The marker is the place by the mean."
        f" {view.board.family}."
    )
