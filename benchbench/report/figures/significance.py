"""A map of all pairs of models: which of them can be told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchbench.report.figures.canvas import INK, MUTED, PAPER, SERIES, Figure, canvas, listed, short
from benchbench.report.figures.plate import Plate
from benchbench.statistics import Comparison, Unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROOMY = 10  # models, up to which a cell has room for more than a sign


def draw_significance(plate: Plate) -> Figure | None:
    """None where there are too few patients to tell models apart, or one model."""
    found = plate.board.comparisons
    if not found or any(isinstance(known, Unknown) for each in found for known in (each.p_holm, each.interval)):
        return None
    models, is_roomy = plate.models, len(plate.models) <= _ROOMY
    side = min(0.42, 5.0 / len(models))
    drawing = canvas((1.1 if is_roomy else 0.5) + side * (len(models) - is_roomy))
    axes = drawing.subplots()
    for each in found:
        _draw_cell(axes, each, models.index(each.second) - 1, models.index(each.first), is_roomy=is_roomy)
    _label(axes, models, is_roomy=is_roomy)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set(xlim=(-0.5, len(models) - 1.5), aspect="equal", anchor="W")
    axes.spines[:].set_visible(False)
    return plate.finish(
        drawing,
        "significance",
        title=f"Which models can be told apart by {plate.metric}",
        caption=_caption(plate),
        alt=_alt(plate),
    )


def _label(axes: Axes, models: list[str], *, is_roomy: bool) -> None:
    """Rows but the last, columns but the first; of many models a column has the number of its row."""
    if is_roomy:
        rows, columns = [short(model) for model in models[:-1]], [short(model, longest=20) for model in models[1:]]
        axes.set_xticks(range(len(columns)), columns, rotation=40, ha="left", rotation_mode="anchor")
    else:
        rows = [f"{short(model)}  {number}" for number, model in enumerate(models, start=1)]
        axes.set_xticks(range(len(models) - 1), range(2, len(models) + 1))
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)


def _draw_cell(axes: Axes, found: Comparison, column: int, row: int, *, is_roomy: bool) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415 as in canvas

    fill = {"facecolor": SERIES[0]} if found.is_separable else {"facecolor": MUTED, "alpha": 0.15}
    axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, linewidth=0, **fill))
    p = _shown(found.p_holm)
    words = p if found.is_separable else f"≈\n{p}" if is_roomy else "≈"
    colour = PAPER if found.is_separable else INK
    axes.text(column, row, words, ha="center", va="center", size=6.5 if is_roomy else 5, color=colour)


def _shown(p: float | Unknown) -> str:
    assert not isinstance(p, Unknown), "a map is drawn of known values"
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def _caption(plate: Plate) -> str:
    return (
        "Row against column, models from the best mean: blue where the row is better, grey (≈) where the two"
        f" cannot be told apart. Numbers are p of the signed-rank test ({plate.board.family}); blue also needs an"
        f" interval of the difference without 0 and a test over folds below .05.{_without_folds(plate)}"
    )


def _without_folds(plate: Plate) -> str:
    p = plate.board.comparisons[0].p_folds
    return f" Here there is no such test ({p.reason}), and no pair is blue." if isinstance(p, Unknown) else ""


def _alt(plate: Plate) -> str:
    apart = sum(each.is_separable for each in plate.board.comparisons)
    return f"{apart} of {len(plate.board.comparisons)} pairs of {listed(plate.models)} can be told apart."
