"""A board as its figures show it, and the parts that several of these figures share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchbench.comparison.board import Board
from benchbench.images.arrays import Floats
from benchbench.report.figures.canvas import INK, SERIES, Figure, export, new_drawing, shorten
from benchbench.report.figures.metric_text import axis_label, metric_name
from benchbench.report.figures.row_styles import MARKERS, Identity, RowStyle, row_styles
from benchbench.statistics import Unknown, join_warnings
from benchbench.tables.results import Results
from benchbench.tables.rows import name_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

MANY_POINTS = 1000
"""More points than this are drawn as pixels: as circles they would make a page too large."""
_LOG_RATIO = 5.0  # of the largest value to the smallest, from which an axis is logarithmic
_NARROW_RATIO = 30.0  # from which labels at 1, 2 and 5 would touch on a narrow axis
_DECADES_ONLY_RATIO = 1e3  # from which it has ticks at powers of ten only


@dataclass(frozen=True, kw_only=True)
class BoardView:
    """A board with the names and colours that its figures use."""

    board: Board
    suffix: str
    """End of every figure's name, empty unless there are several datasets or several boards of one."""
    note: str
    styles: Mapping[Identity, RowStyle]
    """Model and variant -> its colour and marker."""

    @property
    def models(self) -> list[str]:
        """The labels of the rows, best first."""
        return list(self.board.rows)

    @property
    def metric(self) -> str:
        """The metric's name in prose."""
        return metric_name(self.board.metric)

    @property
    def axis(self) -> str:
        """The metric's name with its unit."""
        return axis_label(self.board.metric)

    @property
    def patients(self) -> Floats:
        """(M, P) mean over the cases of each patient, models in the order of `models`."""
        return self.board.panel.patient_means

    @property
    def is_crowded(self) -> bool:
        """True where there are so many points that they are drawn as pixels."""
        return self.patients.size > MANY_POINTS

    @property
    def has_colours(self) -> bool:
        """True where there are few enough models for a distinguishable colour each."""
        return len(self.models) <= len(SERIES)

    def colour(self, number: int) -> str:
        """Return the colour of the model at this position; all share one if there are too many."""
        if self.has_colours:
            return self.style(self.models[number]).colour
        return SERIES[0]

    def marker(self, number: int) -> str:
        """Return the marker of the model at this position; all share one if there are too many."""
        if self.has_colours:
            return self.style(self.models[number]).marker
        return MARKERS[0]

    def style(self, model: str) -> RowStyle:
        """Return the colour and marker of a model, by its label."""
        group = self.board.rows[model].group
        return self.styles[group.model, group.variant]

    @property
    def interval_text(self) -> str:
        """The interval of a mean in words, with what reduces trust in it; or that there is none, and why."""
        warnings: list[str] = []
        for interval in self.board.intervals.values():
            if isinstance(interval, Unknown):
                return f"without interval ({interval.reason})"
            warnings.append(interval.warning)
        text = "with its 95 % interval"
        together = join_warnings(warnings)
        return f"{text} ({together})" if together else text

    def export(self, drawing: Drawing, kind: str, *, title: str, caption: str, alt: str) -> Figure:
        """Return the finished figure, with the board's notes in its caption."""
        if self.board.notes:
            caption += f" Notes: {'; '.join(self.board.notes)}."  # a note may begin with the name of a model
        return export(
            drawing,
            name=f"{kind}{self.suffix}",
            title=f"{title} on {self.board.dataset}",
            caption=caption,
            alt=alt,
            note=self.note,
        )


def board_views(results: Results, boards: Iterable[Board]) -> Iterator[BoardView]:
    """Yield a view of each board; figures of a dataset's second board have a 2 in their name, and so on."""
    counts: dict[str, int] = {}
    styles = row_styles(results)
    for board in boards:
        number = counts.get(board.dataset, 0) + 1
        counts[board.dataset] = number
        suffix = name_for("", board.dataset, results)
        if number > 1:
            suffix += f"-{number}"
        yield BoardView(board=board, suffix=suffix, note=results.note, styles=styles)


def line_per_model(models: Sequence[str], *, height: float) -> tuple[Drawing, Axes]:
    """Return axes with a horizontal line of `height` inches for each model, the first on top."""
    drawing = new_drawing(0.6 + height * len(models))
    axes = drawing.subplots()
    axes.set_yticks(range(len(models)), [shorten(model) for model in models])
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    return drawing, axes


def jitter(count: int) -> Floats:
    """Return evenly spread offsets in [0, 1], the same each time, for points that would cover each other."""
    golden_ratio = (np.sqrt(5) - 1) / 2
    offsets: Floats = (np.arange(count) * golden_ratio) % 1
    return offsets


def draw_mean(axes: Axes, low: float, mean: float, high: float, at: float, *, marker: str) -> None:
    """Draw a mean with its interval at height `at`."""
    axes.plot([low, high], [at, at], color=INK, linewidth=1.6, solid_capstyle="butt")
    axes.plot([mean], [at], marker, color=INK, markersize=4, markeredgewidth=0)


def scale_x_axis(axes: Axes, values: Floats, *, is_narrow: bool = False) -> None:
    """Make the x axis logarithmic if the positive values span a wide range; label ticks like 200, 5k and 1M.

    The labels of a narrow axis are further apart.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator  # noqa: PLC0415 as in canvas

    ratio = values.max() / values.min()
    if ratio > _LOG_RATIO:
        steps: tuple[int, ...] = (1, 2, 5)
        if is_narrow and ratio > _NARROW_RATIO:
            steps = (1, 3)
        if ratio > _DECADES_ONLY_RATIO:
            steps = (1,)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=steps))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda value, _: _abbreviate(value))


def _abbreviate(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
