"""Learning curves: loss and validation Dice by epoch, over the runs of each model and variant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchbench.comparison.board import Board
from benchbench.images.arrays import Floats
from benchbench.plan.run import Group, RunKey
from benchbench.records.folder import ResultsFolder
from benchbench.records.history import read_history
from benchbench.report.figures.canvas import (
    MUTED,
    SERIES,
    Figure,
    export,
    join_names,
    new_drawing,
    share_legend,
    shorten,
)
from benchbench.report.figures.row_styles import row_styles
from benchbench.tables.results import Results
from benchbench.tables.rows import Row, name_for, rows_of
from benchbench.words import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_DICE = "validation_dice_case"
TRACES = {"train_loss": "training loss", "validation_loss": "validation loss", _DICE: "validation Dice"}
_COLUMNS = 4  # of small panels
_LOG_RATIO = 20.0  # of the highest to the lowest loss, from which its axis is logarithmic
BAND = "lines are means over runs, bands cover the lowest to the highest run"

History = Sequence[Mapping[str, float]]
"""A row for each epoch of a run."""


class Trace(NamedTuple):
    """A value by epoch: its mean, minimum and maximum over runs, at the epochs where every run has it."""

    epochs: Floats
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The learning curves of a model and variant, up to the last epoch of its shortest run."""

    label: str
    group: Group
    n_runs: int
    traces: Mapping[str, Trace]
    checkpoints: Sequence[tuple[int, float]]
    """For each run, the epoch of the selected checkpoint and its validation Dice."""


def draw_curves(folder: ResultsFolder, results: Results, boards: Sequence[Board] = ()) -> Iterator[Figure]:
    """Yield the curves of each dataset with a history; up to six rows share axes, more have small panels.

    Rows have the order and the colours that they have in the figures of their board.
    """
    for dataset in results.manifest.datasets:
        order = [label for board in boards if board.dataset == dataset for label in board.rows]
        rows = _in_order(list(curves_of(folder, results, dataset)), order)
        colours = _colours(results, rows)
        if not rows:
            continue
        name = name_for("curves", dataset, results)
        note = results.note
        if len(rows) <= len(SERIES):
            yield _draw_shared(rows, colours, dataset, name=name, note=note)
        else:
            yield _draw_dice_panels(rows, dataset, name=name, note=note)
            yield _draw_loss_panels(rows, dataset, name=name, note=note)


def _in_order(rows: Sequence[Curves], order: Sequence[str]) -> list[Curves]:
    """Return the rows in this order, followed by those that are not in it."""
    by_label = {row.label: row for row in rows}
    ranked = [by_label[label] for label in order if label in by_label]
    return [*ranked, *(row for row in rows if row.label not in order)]


def _colours(results: Results, rows: Sequence[Curves]) -> list[str]:
    """Return the colour of each row, the same as in all other figures."""
    styles = row_styles(results)
    return [styles[row.group.model, row.group.variant].colour for row in rows]


def curves_of(folder: ResultsFolder, results: Results, dataset: str) -> Iterator[Curves]:
    """Yield the curves of every row that has a run with a history."""
    for row in rows_of(results, dataset):
        histories = _read_histories(folder, results, row)
        if not histories:
            continue
        checkpoints = []
        for key, history in histories.items():
            epoch = results.records[key].best_epoch
            if epoch is not None and epoch < len(history):
                checkpoints.append((epoch, history[epoch][_DICE]))
        yield Curves(
            label=row.label,
            group=row.group,
            n_runs=len(histories),
            traces={name: _trace(list(histories.values()), name) for name in TRACES},
            checkpoints=checkpoints,
        )


def _read_histories(folder: ResultsFolder, results: Results, row: Row) -> dict[RunKey, History]:
    histories: dict[RunKey, History] = {}
    for key in row.runs:
        history = read_history(folder.run(key), results.records[key])
        if history:
            histories[key] = history
    return histories


def _trace(histories: Sequence[History], name: str) -> Trace:
    length = min(map(len, histories))
    values = np.full((len(histories), length), np.nan)
    for run, history in enumerate(histories):
        for epoch in range(length):
            values[run, epoch] = history[epoch].get(name, np.nan)
    is_known = ~np.isnan(values).any(axis=0)
    epochs = np.arange(length)[is_known] + 1.0
    known = values[:, is_known]
    return Trace(epochs, known.mean(axis=0), known.min(axis=0), known.max(axis=0))


def _draw_shared(rows: Sequence[Curves], colours: Sequence[str], dataset: str, *, name: str, note: str) -> Figure:
    """Draw all rows in the same axes: one panel for each value."""
    drawing = new_drawing(2.5)
    panels = drawing.subplots(1, len(TRACES))
    for panel, (trace, title) in zip(panels, TRACES.items(), strict=True):
        for row, colour in zip(rows, colours, strict=True):
            draw_trace(panel, row.traces[trace], colour, shorten(row.label))
        panel.set(title=title[0].upper() + title[1:], xlabel="epoch")
        scale_axes(panel, [row.traces[trace] for row in rows], trace)
    for row, colour in zip(rows, colours, strict=True):
        for epoch, dice in row.checkpoints:
            panels[-1].plot(epoch + 1, dice, "o", color=colour, markersize=3, markeredgewidth=0)
    if len(rows) > 1:
        share_legend(drawing, panels[0], columns=4)
    return export(
        drawing,
        name=name,
        title=f"Learning curves on {dataset}",
        caption=f"{_count_runs(rows)}: {BAND}; dots mark the selected checkpoints.",
        alt=f"Training loss, validation loss and validation Dice by epoch of {_labels(rows)}.",
        note=note,
    )


def _draw_dice_panels(rows: Sequence[Curves], dataset: str, *, name: str, note: str) -> Figure:
    """Draw a panel for each row with its Dice, in front of that of the other rows in grey."""
    drawing, panels = _small_panels(rows)
    for panel, row in zip(panels, rows, strict=True):
        for other in rows:
            trace = other.traces[_DICE]
            panel.plot(trace.epochs, trace.mean, color=MUTED, linewidth=0.5, alpha=0.5)
        draw_trace(panel, row.traces[_DICE], SERIES[0], TRACES[_DICE])
    scale_axes(panels[0], [row.traces[_DICE] for row in rows], _DICE)
    return export(
        drawing,
        name=f"{name}-dice",
        title=f"Learning curves on {dataset}: validation Dice",
        caption=f"{_count_runs(rows)}: {BAND}; grey lines are the means of the other rows.",
        alt=f"Validation Dice by epoch, in a panel for each of {_labels(rows)}.",
        note=note,
    )


def _draw_loss_panels(rows: Sequence[Curves], dataset: str, *, name: str, note: str) -> Figure:
    """Draw a panel for each row with its training and validation loss."""
    losses = [trace for trace in TRACES if trace != _DICE]
    drawing, panels = _small_panels(rows)
    for panel, row in zip(panels, rows, strict=True):
        for loss, colour in zip(losses, SERIES, strict=False):
            draw_trace(panel, row.traces[loss], colour, TRACES[loss])
    traces = [row.traces[loss] for row in rows for loss in losses]
    scale_axes(panels[0], traces, losses[0])
    share_legend(drawing, panels[0])
    return export(
        drawing,
        name=f"{name}-loss",
        title=f"Learning curves on {dataset}: training and validation loss",
        caption=f"{_count_runs(rows)}: {BAND}.",
        alt=f"Training and validation loss by epoch, in a panel for each of {_labels(rows)}.",
        note=note,
    )


def _small_panels(rows: Sequence[Curves]) -> tuple[Drawing, Sequence[Axes]]:
    """Return a titled panel for each row, all with the same axes; the lowest of each column has tick labels."""
    lines = -(-len(rows) // _COLUMNS)
    drawing = new_drawing(0.5 + 1.25 * lines)
    panels = drawing.subplots(lines, _COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    used = panels[: len(rows)]
    for panel, row in zip(used, rows, strict=True):
        panel.set_title(shorten(row.label, longest=26), fontweight="normal")
    for panel in panels[len(rows) :]:
        panel.set_visible(False)
    for panel in used[-_COLUMNS:]:
        panel.tick_params(labelbottom=True)
        panel.set_xlabel("epoch")
    return drawing, used


def draw_trace(panel: Axes, trace: Trace, colour: str, label: str) -> None:
    """Draw the mean as a line and the range of all runs as a band."""
    marker = "" if len(trace.epochs) > 1 else "o"
    panel.grid(axis="y")
    panel.fill_between(trace.epochs, trace.low, trace.high, color=colour, alpha=0.2, linewidth=0)
    panel.plot(trace.epochs, trace.mean, color=colour, label=label, marker=marker)


def scale_axes(panel: Axes, traces: Sequence[Trace], name: str) -> None:
    """Put ticks at whole epochs, even at a single one; the axis of a loss that falls by much is logarithmic."""
    from matplotlib.ticker import MaxNLocator, NullFormatter  # noqa: PLC0415 as in canvas

    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    known = [trace for trace in traces if len(trace.epochs)]
    low = min((float(trace.low.min()) for trace in known), default=0.0)
    high = max((float(trace.high.max()) for trace in known), default=0.0)
    if name.endswith("loss") and 0 < low < high / _LOG_RATIO:
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter(NullFormatter())


def _labels(rows: Sequence[Curves]) -> str:
    return join_names([row.label for row in rows])


def _count_runs(rows: Sequence[Curves]) -> str:
    counts = sorted({row.n_runs for row in rows})
    fewest, most = counts[0], counts[-1]
    number = f"{fewest} to {most} runs"
    if fewest == most:
        number = count(most, "run")
    return f"{number} of each of {_labels(rows)}"
