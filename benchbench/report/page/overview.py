"""The first chart of a page: every row with its mean, its interval and a dot for each patient.

It is drawn as HTML with an SVG in each line, so that it fits a phone without smaller letters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchbench.comparison.board import Board
from benchbench.comparison.case_scores import case_scores, keep_common_cases
from benchbench.images.arrays import Floats
from benchbench.report.figures.board_view import jitter
from benchbench.report.figures.metric_text import axis_label, format_value
from benchbench.report.figures.row_styles import MARKERS, RowStyle, row_styles
from benchbench.spec.metric_names import is_lower_better, is_overlap, value_range
from benchbench.statistics import Interval, Unknown, make_panel, mean_interval
from benchbench.tables.leaderboard import leaderboard
from benchbench.tables.references import BACKGROUND, UPPER_BOUND, control_names, with_references
from benchbench.tables.results import Results
from benchbench.tables.rows import Row, rows_of

_SHAPES = {
    "o": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "s": "M-3.6-3.6h7.2v7.2h-7.2z",
    "^": "M0-4.6l4.6 8h-9.2z",
    "D": "M0-5l5 5l-5 5l-5-5z",
    "v": "M0 4.6l4.6-8h-9.2z",
    "P": "M-1.6-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
    "X": "M-4.6-2.6l2-2l2.6 2.6l2.6-2.6l2 2l-2.6 2.6l2.6 2.6l-2 2l-2.6-2.6l-2.6 2.6l-2-2l2.6-2.6z",
}
"""Marker -> its outline around the origin, in pixels."""
_MOST_NAMED_DOTS = 2500
"""More dots than these have no name, and those at the same place are drawn once: a page stays small."""
_TICKS = 6  # at most
_MARGIN = 0.02  # of the axis at each end
_DOTS_TOP, _DOTS_HEIGHT = 18, 64  # percent of the height of a line


class Dot(NamedTuple):
    """A patient: its position in percent of the strip, and its name with the score."""

    x: str
    y: str
    title: str
    patient: str = ""


class Tick(NamedTuple):
    """A number of the axis and its position in percent."""

    at: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A row of the chart."""

    label: str
    tag: str
    """A word on the kind of the row, such as "control"; empty for a ranked model."""
    value: str
    """The mean and its interval as text."""
    mean: str
    low: str
    high: str
    """Ends of the interval in percent, empty where there is none."""
    colour: int
    """Number of the colour of the series from 1; 0 for grey."""
    shape: str
    dots: Sequence[Dot]


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The chart of a board."""

    name: str
    title: str
    strips: Sequence[Strip]
    ticks: Sequence[Tick]
    caption: str


class _Line(NamedTuple):
    """The numbers of a strip, before they have a place on the axis."""

    label: str
    tag: str
    mean: float
    interval: Interval | Unknown | None
    patients: Floats
    names: Sequence[str]
    style: RowStyle | None


class _Axis(NamedTuple):
    low: float
    high: float

    def percent(self, value: float) -> str:
        """Return the place of a value from the left of the axis, in percent."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return f"{100 * min(1.0, max(0.0, share)):.2f}"


def overview(results: Results, board: Board, *, number: int) -> Overview:
    """Return the chart of a board: its rows from the best mean, then its controls and the reference rows."""
    lines = [*_ranked(results, board), *_controls(results, board), *_references(results, board)]
    axis = _axis(lines, board.metric)
    n_dots = sum(len(line.patients) for line in lines)
    strips = [_strip(line, axis, board.metric, is_named=n_dots <= _MOST_NAMED_DOTS) for line in lines]
    return Overview(
        name=f"overview-{number}",
        title=f"{axis_label(board.metric)} on {board.dataset}",
        strips=strips,
        ticks=list(_ticks(axis)),
        caption=_caption(lines, len(board.panel.patients)),
    )


def _ranked(results: Results, board: Board) -> Iterator[_Line]:
    styles = row_styles(results)
    for position, (label, row) in enumerate(board.rows.items()):
        tag = "external" if row.group.model in results.manifest.external else ""
        yield _Line(
            label=label,
            tag=tag,
            mean=board.means[label],
            interval=board.intervals[label],
            patients=board.panel.patient_means[position],
            names=board.panel.patients,
            style=styles[row.group.model, row.group.variant],
        )


def _controls(results: Results, board: Board) -> Iterator[_Line]:
    """Yield the controls of the dataset that have all their runs and the metric of the board."""
    everything = results.with_controls
    if everything is None:
        return
    names = control_names(results)
    for row in rows_of(everything, board.dataset):
        if row.group.model in names and row.is_complete:
            line = _control(everything, row, board)
            if line is not None:
                yield line


def _control(results: Results, row: Row, board: Board) -> _Line | None:
    scores = case_scores(results.cases_of(row.runs), metric=board.metric, empty=board.empty, model=row.label)
    common, _ = keep_common_cases(scores)
    if common["value"].isna().all():
        return None
    panel = make_panel(common, is_lower_better=is_lower_better(board.metric))
    return _Line(
        label=row.label,
        tag="control",
        mean=float(panel.means[0]),
        interval=mean_interval(panel, value_range=value_range(board.metric)),
        patients=panel.patient_means[0],
        names=panel.patients,
        style=None,
    )


def _references(results: Results, board: Board) -> Iterator[_Line]:
    table = with_references(leaderboard(results), results)
    if board.metric not in table:
        return
    table = table[(table["dataset"] == board.dataset) & table["model"].isin([BACKGROUND, UPPER_BOUND])]
    for (label, mean), _ in table.groupby(["model", board.metric], sort=False):
        yield _Line(label, "reference", float(mean), None, np.empty(0), (), None)


def _axis(lines: Iterable[_Line], metric: str) -> _Axis:
    """Return an axis that covers every patient, mean and interval; that of an overlap stays in [0, 1]."""
    values: list[float] = []
    for line in lines:
        values += [line.mean, *line.patients.tolist()]
        if isinstance(line.interval, Interval):
            values += [line.interval.low, line.interval.high]
    known = [value for value in values if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    margin = _MARGIN * (high - low)
    if is_overlap(metric):
        return _Axis(max(0.0, low - margin), min(1.0, high + margin))
    return _Axis(max(0.0, low - margin), high + margin)


def _strip(line: _Line, axis: _Axis, metric: str, *, is_named: bool) -> Strip:
    value, low, high = format_value(metric, line.mean), "", ""
    if isinstance(line.interval, Interval):
        low, high = axis.percent(line.interval.low), axis.percent(line.interval.high)
        ends = (format_value(metric, line.interval.low), format_value(metric, line.interval.high))
        value += f" [{ends[0]}, {ends[1]}]"
    return Strip(
        label=line.label,
        tag=line.tag,
        value=value,
        mean=axis.percent(line.mean),
        low=low,
        high=high,
        colour=line.style.number + 1 if line.style else 0,
        shape=_SHAPES[line.style.marker if line.style else MARKERS[0]],
        dots=list(_dots(line, axis, metric, is_named=is_named)),
    )


def _dots(line: _Line, axis: _Axis, metric: str, *, is_named: bool) -> Iterator[Dot]:
    drawn: set[tuple[str, str]] = set()
    levels = jitter(len(line.patients))
    for name, value, level in zip(line.names, line.patients, levels, strict=True):
        if not math.isfinite(value):
            continue
        if is_named:
            y = f"{_DOTS_TOP + _DOTS_HEIGHT * level:.0f}"
            yield Dot(axis.percent(value), y, f"{name}: {format_value(metric, value)}", name)
            continue
        # to a half of a percent, at one of four heights
        x = f"{round(2 * float(axis.percent(value))) / 2:g}"
        y = f"{_DOTS_TOP + _DOTS_HEIGHT * round(3 * level) / 3:.0f}"
        if (x, y) not in drawn:
            drawn.add((x, y))
            yield Dot(x, y, "")


def _ticks(axis: _Axis) -> Iterator[Tick]:
    """Yield round numbers: steps of 1, 2 or 5 times a power of ten."""
    width = axis.high - axis.low
    if width <= 0:
        yield Tick("50.00", f"{axis.low:g}")
        return
    power = 10.0 ** math.floor(math.log10(width / _TICKS))
    step = next(power * factor for factor in (1, 2, 5, 10) if width / (power * factor) <= _TICKS)
    first = math.ceil(axis.low / step - 1e-9)
    last = math.floor(axis.high / step + 1e-9)
    for number in range(first, last + 1):
        yield Tick(axis.percent(number * step), f"{number * step:.6g}")


def _caption(lines: Sequence[_Line], n_patients: int) -> str:
    parts = [f"Each dot is one of {n_patients} patients; the marker is the mean over all cases"]
    if any(isinstance(line.interval, Interval) for line in lines):
        parts.append(", the bar its 95 % interval")
    tags = {line.tag for line in lines}
    text = f"{''.join(parts)}."
    if "external" in tags:
        text += " External rows are predictions of another tool."
    if "control" in tags:
        text += " Controls are not ranked: their outcome is known if nothing is wrong."
    if "reference" in tags:
        text += " Reference rows show the score of an empty mask, or what resizing leaves of a perfect one."
    return text
