"""What all figures of one board have in common: names, words, one line a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchbench.comparison.board import Board
from benchbench.images.arrays import Floats
from benchbench.report.figures.canvas import INK, SERIES, Figure, canvas, finish, short
from benchbench.report.figures.measure import axis_of, name_of
from benchbench.tables.results import Results
from benchbench.tables.rows import name_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

MANY_POINTS = 1000
"""More are drawn as pixels: a page of circles would be too large."""
_DECADES, _MANY_DECADES = 5.0, 1e3  # of a logarithmic axis, and of one without ticks between the decades


@dataclass(frozen=True, kw_only=True)
class Plate:
    """A board that figures are drawn of."""

    board: Board
    suffix: str
    """Of every figure's name, where there are several datasets, or boards of one."""
    phantom: bool

    @property
    def models(self) -> list[str]:
        """The labels, best first."""
        return list(self.board.rows)

    @property
    def metric(self) -> str:
        """In prose."""
        return name_of(self.board.metric)

    @property
    def axis(self) -> str:
        """The metric with its unit."""
        return axis_of(self.board.metric)

    @property
    def patients(self) -> Floats:
        """(M, P) each patient's mean over cases."""
        return self.board.panel.patient_means

    @property
    def is_crowded(self) -> bool:
        """Whether so many points are drawn that they are drawn as pixels."""
        return self.patients.size > MANY_POINTS

    def colour(self, number: int) -> str:
        """Of the model at this place; one for all where there are more than can be told apart."""
        return SERIES[number] if len(self.models) <= len(SERIES) else SERIES[0]

    def finish(self, drawing: Drawing, kind: str, *, title: str, caption: str, alt: str) -> Figure:
        """The figure, with the board's notes under it."""
        notes = "".join(f" {note[0].upper()}{note[1:]}." for note in self.board.notes)
        return finish(
            drawing,
            name=f"{kind}{self.suffix}",
            title=f"{title} on {self.board.dataset}",
            caption=caption + notes,
            alt=alt,
            phantom=self.phantom,
        )


def plates(results: Results, boards: Iterable[Board]) -> Iterator[Plate]:
    """Each board with the names that its figures have; a second one of a dataset has a number."""
    seen: dict[str, int] = {}
    for board in boards:
        seen[board.dataset] = number = seen.get(board.dataset, 0) + 1
        suffix = name_for("", board.dataset, results) + (f"-{number}" if number > 1 else "")
        yield Plate(board=board, suffix=suffix, phantom=results.manifest.phantom)


def lines_of(models: list[str], *, height: float) -> tuple[Drawing, Axes]:
    """A line for each model, the first on top; so many inches each."""
    drawing = canvas(0.6 + height * len(models))
    axes = drawing.subplots()
    axes.set_yticks(range(len(models)), [short(model) for model in models])
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    return drawing, axes


def scattered(count: int) -> Floats:
    """Places in [0, 1] for points that would hide each other, the same each time and evenly spread."""
    golden = (np.sqrt(5) - 1) / 2
    places: Floats = (np.arange(count) * golden) % 1
    return places


def draw_mean(axes: Axes, low: float, mean: float, high: float, at: float, *, colour: str = INK) -> None:
    """A mean with its interval."""
    axes.plot([low, high], [at, at], color=colour, linewidth=1.6, solid_capstyle="butt")
    axes.plot([mean], [at], "D", color=colour, markersize=4, markeredgewidth=0)


def spread_out(axes: Axes, values: Floats) -> None:
    """Logarithmic across where values differ much, with ticks such as 200, 5k and 1M."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator  # noqa: PLC0415 as in canvas

    axes.xaxis.set_major_locator(MaxNLocator(5))
    if values.max() > _DECADES * values.min():
        axes.set_xscale("log")
        is_wide = values.max() > _MANY_DECADES * values.min()
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if is_wide else (1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: _rounded(value))


def _rounded(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
