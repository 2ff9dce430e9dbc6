"""Learning curves: how loss and validation Dice went, epoch by epoch, over the runs of each model and variant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchbench.images.arrays import Floats
from benchbench.report.figures.canvas import MUTED, SERIES, Figure, canvas, finish, listed, share_legend, short
from benchbench.results.folder import ResultsFolder
from benchbench.results.history import read_history
from benchbench.tables.results import Results
from benchbench.tables.rows import datasets, name_for, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRACES = {
    "train_loss": "training loss",
    "validation_loss": "validation loss",
    "validation_dice_case": "validation Dice",
}
_WIDE = 4  # panels side by side
_SCALE = 20.0  # a loss that falls by more is drawn on a logarithmic axis
_BAND = "lines are means over runs, bands reach from the lowest to the highest run"


class Trace(NamedTuple):
    """A value by epoch: mean, lowest and highest of the runs that have it there."""

    epochs: Floats
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, kw_only=True)
class Curves:
    """What a model and variant learnt; each trace ends with the shortest run."""

    label: str
    runs: int
    traces: Mapping[str, Trace]
    chosen: Sequence[tuple[int, float]]
    """The epoch that each run kept, and its validation Dice then."""


def draw_curves(folder: ResultsFolder, results: Results) -> Iterator[Figure]:
    """Up to six rows share axes, more have a panel each; nothing where no run has left a history."""
    for dataset in datasets(results):
        found = list(curves_of(folder, results, dataset))
        if not found:
            continue
        draw = _shared if len(found) <= len(SERIES) else _apart
        yield from draw(found, dataset, name_for("curves", dataset, results), results.manifest.phantom)


def curves_of(folder: ResultsFolder, results: Results, dataset: str) -> Iterator[Curves]:
    """Of every row with a history."""
    for row in rows_of(results, dataset):
        histories = [(key, read_history(folder.run(key))) for key in row.runs]
        histories = [(key, history) for key, history in histories if history]
        if not histories:
            continue
        kept = [(results.records[key].best_epoch, history) for key, history in histories]
        yield Curves(
            label=row.label,
            runs=len(histories),
            traces={name: _trace([history for _, history in histories], name) for name in TRACES},
            chosen=[
                (epoch, history[epoch]["validation_dice_case"])
                for epoch, history in kept
                if epoch is not None and epoch < len(history)
            ],
        )


def _trace(histories: Sequence[Sequence[Mapping[str, float]]], name: str) -> Trace:
    length = min(map(len, histories))
    values = np.array([[row.get(name, np.nan) for row in history[:length]] for history in histories])
    is_known = ~np.isnan(values).any(0)
    known = values[:, is_known]
    return Trace(np.arange(length)[is_known] + 1.0, known.mean(0), known.min(0), known.max(0))


def _shared(found: Sequence[Curves], dataset: str, name: str, phantom: bool) -> Iterator[Figure]:
    drawing = canvas(2.5)
    panels = drawing.subplots(1, len(TRACES))
    for panel, (trace, title) in zip(panels, TRACES.items(), strict=True):
        for curves, colour in zip(found, SERIES, strict=False):
            _draw(panel, curves.traces[trace], colour, short(curves.label))
        panel.set(title=title[0].upper() + title[1:], xlabel="epoch")
        _scale(panel, [curves.traces[trace] for curves in found], trace)
    for curves, colour in zip(found, SERIES, strict=False):
        points = np.array(curves.chosen).reshape(-1, 2)
        panels[-1].plot(points[:, 0] + 1, points[:, 1], "o", color=colour, markersize=3, markeredgewidth=0)
    if len(found) > 1:
        share_legend(drawing, panels[0], columns=4)
    yield finish(
        drawing,
        name=name,
        title=f"Learning curves on {dataset}",
        caption=f"{_runs(found)}: {_BAND}; dots are the epochs that were kept.",
        alt=f"Training loss, validation loss and validation Dice by epoch of {listed([c.label for c in found])}.",
        phantom=phantom,
    )


def _apart(found: Sequence[Curves], dataset: str, name: str, phantom: bool) -> Iterator[Figure]:
    """Two figures of small panels: Dice, the other rows in grey behind it, and both losses."""
    for kind, traces in (("dice", ["validation_dice_case"]), ("loss", ["train_loss", "validation_loss"])):
        lines = -(-len(found) // _WIDE)
        drawing = canvas(0.5 + 1.25 * lines)
        panels = drawing.subplots(lines, _WIDE, sharex=True, sharey=True, squeeze=False).ravel()
        for panel, curves in zip(panels, found, strict=False):
            if kind == "dice":
                for other in found:
                    panel.plot(*other.traces[traces[0]][:2], color=MUTED, linewidth=0.5, alpha=0.5)
            for trace, colour in zip(traces, SERIES, strict=False):
                _draw(panel, curves.traces[trace], colour, TRACES[trace])
            panel.set_title(short(curves.label, longest=26), fontweight="normal")
        _scale(panels[0], [curves.traces[trace] for curves in found for trace in traces], traces[0])
        for panel in panels[len(found) :]:
            panel.set_visible(False)
        for panel in panels[max(0, len(found) - _WIDE) : len(found)]:
            panel.tick_params(labelbottom=True)
            panel.set_xlabel("epoch")
        if len(traces) > 1:
            share_legend(drawing, panels[0])
        shown = "Training and validation loss" if kind == "loss" else "Validation Dice"
        behind = "" if kind == "loss" else "; grey lines are the means of the other rows"
        yield finish(
            drawing,
            name=f"{name}-{kind}",
            title=f"Learning curves on {dataset}: {shown.lower()}",
            caption=f"{_runs(found)}: {_BAND}{behind}.",
            alt=f"{shown} by epoch, a panel for each of {listed([c.label for c in found])}.",
            phantom=phantom,
        )


def _draw(panel: Axes, trace: Trace, colour: str, label: str) -> None:
    panel.grid(axis="y")
    panel.fill_between(trace.epochs, trace.low, trace.high, color=colour, alpha=0.2, linewidth=0)
    panel.plot(trace.epochs, trace.mean, color=colour, label=label, marker="" if len(trace.epochs) > 1 else "o")


def _scale(panel: Axes, traces: Sequence[Trace], name: str) -> None:
    from matplotlib.ticker import MaxNLocator, NullFormatter  # noqa: PLC0415 as in canvas

    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    low = min((float(trace.low.min()) for trace in traces if len(trace.low)), default=0.0)
    high = max((float(trace.high.max()) for trace in traces if len(trace.high)), default=0.0)
    if name.endswith("loss") and 0 < low < high / _SCALE:
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter(NullFormatter())


def _runs(found: Sequence[Curves]) -> str:
    counts = sorted({curves.runs for curves in found})
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{number} run{'s' * (counts[-1] > 1)} of each of {listed([curves.label for curves in found])}"
