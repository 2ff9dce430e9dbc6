"""Dice against the volume of the reference: small structures are missed first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from benchbench.report.figures.board_view import MANY_POINTS, BoardView, scale_x_axis
from benchbench.report.figures.canvas import SERIES, Figure, join_names, new_drawing, share_legend, shorten
from benchbench.tables.results import Results
from benchbench.tables.summaries import case_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = ("-", "--", ":")
_MOST_REGIONS = 4
_FEWEST = 20  # cases of a running median
_WINDOW = 0.2  # of a running median, as a share of all cases


def draw_volume(view: BoardView, results: Results) -> Figure | None:
    """Draw a panel for each of the first four regions; None where hardly any case has a reference."""
    models = view.models[: len(SERIES)]
    volumes = {model: volumes_of(view, results, model) for model in models}
    cases = results.cases_of(view.board.rows[models[0]].runs)
    regions = _regions_with_cases(volumes[models[0]], order=list(dict.fromkeys(cases["region"])))[:_MOST_REGIONS]
    if not regions:
        return None
    drawing = new_drawing(2.6)
    panels = drawing.subplots(1, len(regions), sharey=True, squeeze=False)[0]
    for panel, region in zip(panels, regions, strict=True):
        _draw_panel(panel, view, volumes, region)
        panel.set(title=region if len(regions) > 1 else "", xlabel="voxels of the reference")
    panels[0].set_ylabel("Dice")
    if len(models) > 1:
        share_legend(drawing, panels[0], columns=4)
    return view.export(
        drawing,
        "volume",
        title="Dice by the volume of the reference",
        caption=_caption(view, models),
        alt=f"Dice of each case of {join_names(models)} by voxels of the reference, with a running median.",
    )


def volumes_of(view: BoardView, results: Results, model: str) -> pd.DataFrame:
    """Return region, case, voxels and dice (the mean over seeds) of each case with a reference, by volume."""
    cases = results.cases_of(view.board.rows[model].runs)
    voxels = cases["tp"] + cases["fn"]
    dice = case_values("dice", cases, view.board.empty)
    table = cases[["region", "case"]].assign(voxels=voxels, dice=dice)
    with_reference = table[voxels > 0]
    means = with_reference.groupby(["region", "case"], sort=False)[["voxels", "dice"]].mean()
    return means.reset_index().sort_values(["voxels", "case"], kind="stable")


def running_median(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with `dice` as the median over the fifth of all cases that are closest in volume."""
    window = max(5, round(_WINDOW * len(table)))
    median = table["dice"].rolling(window, center=True, min_periods=window // 2 + 1).median()
    return table.assign(dice=median)


def _regions_with_cases(table: pd.DataFrame, *, order: Sequence[str]) -> list[str]:
    """Return the regions with enough cases, in this order.

    References, and so the numbers of cases, are the same for every model.
    """
    counts = table["region"].value_counts()
    return [region for region in order if counts.get(region, 0) >= _FEWEST]


def _draw_panel(panel: Axes, view: BoardView, volumes: Mapping[str, pd.DataFrame], region: str) -> None:
    tables = {}
    for model, volume in volumes.items():
        tables[model] = volume[volume["region"] == region]
    is_crowded = sum(map(len, tables.values())) > MANY_POINTS
    panel.grid()
    scale_x_axis(panel, pd.concat(tables.values())["voxels"].to_numpy())
    used: list[str] = []
    for model, table in tables.items():
        style = view.style(model)
        panel.scatter(
            table["voxels"],
            table["dice"],
            s=7,
            marker=style.marker,
            color=style.colour,
            alpha=0.35,
            linewidths=0,
            rasterized=is_crowded,
        )
        line = running_median(table)
        # of more than six models, two of those that are drawn may have the same colour
        dashes = _DASHES[used.count(style.colour) % len(_DASHES)]
        used.append(style.colour)
        panel.plot(line["voxels"], line["dice"], dashes, color=style.colour, label=shorten(model))


def _caption(view: BoardView, models: Sequence[str]) -> str:
    selection = ""
    if len(models) < len(view.models):
        selection = f" Only the {len(models)} of {len(view.models)} models with the best mean are shown."
    return (
        "Each point is a case with a reference, plotted against the volume of that reference. Lines are running"
        f" medians over the fifth of all cases that are closest in volume.{selection}"
    )
