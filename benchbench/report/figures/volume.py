"""Dice against the volume of what was to be found: small structures are lost first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from benchbench.report.figures.canvas import SERIES, Figure, canvas, listed, share_legend, short
from benchbench.report.figures.plate import MANY_POINTS, Plate, spread_out
from benchbench.tables.results import Results, of_runs
from benchbench.tables.summaries import case_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_REGIONS = 4
_FEWEST = 20  # cases of a running median
_WINDOW = 0.2  # of all cases


def draw_volume(plate: Plate, results: Results) -> Figure | None:
    """A panel for each region, the first four; None where hardly any case has a reference."""
    shown = plate.models[: len(SERIES)]
    found = {model: volumes_of(plate, results, model) for model in shown}
    regions = [name for name, count in _cases_by_region(found).items() if count >= _FEWEST][:_MOST_REGIONS]
    if not regions:
        return None
    drawing = canvas(2.6)
    panels = drawing.subplots(1, len(regions), sharey=True, squeeze=False)[0]
    for panel, region in zip(panels, regions, strict=True):
        of_region = {model: table[table["region"] == region] for model, table in found.items()}
        _draw_panel(panel, of_region)
        panel.set(title=region if len(regions) > 1 else "", xlabel="voxels of the reference")
    panels[0].set_ylabel("Dice")
    if len(shown) > 1:
        share_legend(drawing, panels[0], columns=4)
    return plate.finish(
        drawing,
        "volume",
        title="Dice by the volume of the reference",
        caption=_caption(plate, shown),
        alt=f"Dice of each case of {listed(shown)} by voxels of the reference, with a running median.",
    )


def volumes_of(plate: Plate, results: Results, model: str) -> pd.DataFrame:
    """region, voxels and dice of each case with a reference, by volume; the mean over seeds."""
    cases = of_runs(results.cases, plate.board.rows[model].runs)
    voxels = cases["tp"] + cases["fn"]
    dice = case_values("dice", cases, plate.board.empty, is_pooled=False)
    table = cases[["region", "case"]].assign(voxels=voxels, dice=dice)[voxels > 0]
    means = table.groupby(["region", "case"], sort=False)[["voxels", "dice"]].mean()
    return means.reset_index().sort_values(["voxels", "case"], kind="stable")


def running_median(table: pd.DataFrame) -> pd.DataFrame:
    """The same with `dice` the median of the cases about as large, a fifth of all."""
    window = max(5, round(_WINDOW * len(table)))
    median = table["dice"].rolling(window, center=True, min_periods=window // 2 + 1).median()
    return table.assign(dice=median)


def _cases_by_region(found: Mapping[str, pd.DataFrame]) -> dict[str, int]:
    """How many cases have a reference; the same for every model."""
    first = next(iter(found.values()))
    return {str(name): len(table) for name, table in first.groupby("region", sort=False)}


def _draw_panel(panel: Axes, of_region: Mapping[str, pd.DataFrame]) -> None:
    is_crowded = sum(map(len, of_region.values())) > MANY_POINTS
    panel.grid()
    spread_out(panel, pd.concat(of_region.values())["voxels"].to_numpy())
    for (model, table), colour in zip(of_region.items(), SERIES, strict=False):
        panel.scatter(
            table["voxels"], table["dice"], s=7, color=colour, alpha=0.35, linewidths=0, rasterized=is_crowded
        )
        line = running_median(table)
        panel.plot(line["voxels"], line["dice"], color=colour, label=short(model))


def _caption(plate: Plate, shown: list[str]) -> str:
    some = (
        f" The {len(shown)} of {len(plate.models)} models with the best mean are shown."
        if len(shown) < len(plate.models)
        else ""
    )
    return (
        "Each point is a case with a reference, against its volume; lines are running medians over"
        f" the fifth of all cases about as large.{some}"
    )
