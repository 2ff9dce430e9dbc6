"""Learning curves by two settings: a panel for each pair of their values, as publications compare trainings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from benchbench.records.folder import ResultsFolder
from benchbench.report.figures.canvas import INK, SERIES, Figure, export, new_drawing, share_legend
from benchbench.report.figures.curves import BAND, TRACES, Curves, curves_of, draw_trace, scale_axes
from benchbench.spec.file_names import slug
from benchbench.spec.table_specs import CurvesSpec
from benchbench.tables.listings import as_text
from benchbench.tables.results import Results
from benchbench.tables.rows import name_for
from benchbench.words import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

LOSSES = ("train_loss", "validation_loss")
_HEIGHT = 1.45
"""Height of a line of panels in inches."""

Panels = Mapping[tuple[str, str], Curves | None]
"""Values of the settings of line and panel -> the curves there; None if no run there is done."""


def draw_curve_grids(folder: ResultsFolder, results: Results) -> Iterator[Figure]:
    """Yield a figure for each dataset and model, if the benchmark file asks for learning curves by two settings.

    Every planned pair of values has its panel, empty as long as no run of it is done.
    """
    spec = results.manifest.curves
    if spec is None:
        return
    for dataset in results.manifest.datasets:
        rows = list(curves_of(folder, results, dataset))
        for model in dict.fromkeys(row.group.model for row in rows):
            of_model = [row for row in rows if row.group.model == model]
            name = name_for("curves-by-setting", dataset, results)
            if len(results.manifest.values_of("model")) > 1:
                name += f"-{slug(model)}"
            panels = _panels(results, spec, of_model)
            yield _draw(panels, spec, name=name, place=f"{model} on {dataset}", note=results.note)


def _panels(results: Results, spec: CurvesSpec, rows: Sequence[Curves]) -> Panels:
    """Return every pair of values of the two settings, in the order of the plan."""
    settings = results.manifest.settings
    by_variant = {row.group.variant: row for row in rows}
    panels: dict[tuple[str, str], Curves | None] = {}
    for variant in results.manifest.values_of("variant"):
        of_variant = settings[str(variant)]
        place = (as_text(of_variant[spec.rows]), as_text(of_variant[spec.columns]))
        panels[place] = panels.get(place) or by_variant.get(str(variant))
    return panels


def _draw(panels: Panels, spec: CurvesSpec, *, name: str, place: str, note: str) -> Figure:
    row_name, column_name = spec.rows.rpartition(".")[2], spec.columns.rpartition(".")[2]
    drawing = _draw_lines(panels, row_name, column_name)
    most_runs = max(row.n_runs for row in panels.values() if row is not None)
    return export(
        drawing,
        name=name,
        title=f"Learning curves of {place}, by {row_name} and {column_name}",
        caption=f"Up to {count(most_runs, 'run')} in a panel: {BAND}. Panels of a line have the same axes.",
        alt=f"Training and validation loss by epoch, a panel for each {column_name} at each {row_name}.",
        note=note,
    )


def _draw_lines(panels: Panels, row_name: str, column_name: str) -> Drawing:
    lines = list(dict.fromkeys(line for line, _ in panels))
    columns = list(dict.fromkeys(column for _, column in panels))
    drawing = new_drawing(0.5 + _HEIGHT * len(lines))
    grid = drawing.subplots(len(lines), len(columns), sharex="row", sharey="row", squeeze=False)
    for axes_of_line, line in zip(grid, lines, strict=True):
        rows = [panels.get((line, column)) for column in columns]
        for axes, column, row in zip(axes_of_line, columns, rows, strict=True):
            axes.set_title(f"{row_name} {line}, {column_name} {column}", fontweight="normal")
            _draw_panel(axes, row)
        _scale_line(axes_of_line, rows)
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    share_legend(drawing, next(axes for axes in grid.flat if axes.lines))
    return drawing


def _draw_panel(axes: Axes, row: Curves | None) -> None:
    if row is None:
        axes.text(0.5, 0.5, "not run yet", transform=axes.transAxes, ha="center", va="center", color=INK)
        return
    for loss, colour in zip(LOSSES, SERIES, strict=False):
        draw_trace(axes, row.traces[loss], colour, TRACES[loss])


def _scale_line(axes_of_line: Sequence[Axes], rows: Sequence[Curves | None]) -> None:
    traces = [row.traces[loss] for row in rows if row is not None for loss in LOSSES]
    for axes in axes_of_line:
        scale_axes(axes, traces, LOSSES[0])
