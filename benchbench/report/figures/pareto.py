"""Quality against cost: which models nothing cheaper is better than."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from benchbench.images.arrays import Floats
from benchbench.report.figures.canvas import MUTED, SERIES, Figure, canvas, listed, short
from benchbench.report.figures.plate import Plate, spread_out
from benchbench.statistics import Interval
from benchbench.tables.cost_tables import cost_table
from benchbench.tables.results import Results, of_runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_ON_A_MACHINE = ["device", "threads", "precision", "runs_per_device"]
_MOST = 3  # panels
_PANEL = (1.6, 1.7)  # inches, about
_NUMBER = (9.0, 7.0)  # points that a number takes
_OFFSETS = np.array([(9, 5), (-9, 5), (9, -5), (-9, -5), (0, 9), (0, -9), (12, 0), (-12, 0), (0, 17), (0, -17)])


class Cost(NamedTuple):
    """What is paid, by the column of `cost_table` that it stands in."""

    column: str
    title: str
    is_timed: bool = False
    """Whether it says nothing across machines."""
    is_of_training: bool = False
    """Whether an ensemble, which trains nothing, has none."""


_COSTS = (
    Cost("parameters", "parameters"),
    Cost("ms_per_case_p50", "inference, ms a case", is_timed=True),
    Cost("train_seconds", "training, seconds a run", is_timed=True, is_of_training=True),
    Cost("gmacs_per_case", "GMACs a case"),
    Cost("seconds", "training and test, seconds a run", is_timed=True, is_of_training=True),
)


def draw_pareto(plate: Plate, results: Results) -> Figure | None:
    """Up to three costs, those that are known of two models at least; None where there is none."""
    found = list(costs_of(plate, results))[:_MOST]
    if len(plate.models) < 2 or not found:
        return None
    drawing = canvas(2.6 + 0.16 * -(-len(plate.models) // 3))
    panels = drawing.subplots(1, len(found), sharey=True, squeeze=False)[0]
    for panel, (cost, values) in zip(panels, found, strict=True):
        _draw_panel(panel, plate, values)
        panel.set_xlabel(cost.title)
    panels[0].set_ylabel(plate.axis)
    _explain(drawing, plate)
    return plate.finish(
        drawing,
        "pareto",
        title=f"{plate.metric} against cost",
        caption=_caption(plate, [cost for cost, _ in found]),
        alt=f"{plate.metric} of {listed(plate.models)} against {listed([cost.title for cost, _ in found])}.",
    )


def costs_of(plate: Plate, results: Results) -> Iterator[tuple[Cost, dict[str, float]]]:
    """Each cost by label, the mean over runs; times only where all of them are of one machine."""
    table = cost_table(results)
    ensembles = results.manifest.ensembles
    for cost in _COSTS:
        if cost.column not in table:
            continue
        rows = {
            label: row
            for label, row in plate.board.rows.items()
            if not cost.is_of_training or row.group.model not in ensembles
        }
        lines = {label: of_runs(table, row.runs) for label, row in rows.items()}
        if cost.is_timed and _machines(lines.values()) > 1:
            continue
        values = {label: _mean(each[cost.column]) for label, each in lines.items()}
        known = {label: value for label, value in values.items() if value > 0}
        if len(known) > 1:
            yield cost, known


def front(costs: Sequence[float], means: Sequence[float], *, is_lower_better: bool) -> list[int]:
    """Places of those than which nothing that costs as little is as good, from the cheapest."""
    towards_best = 1 if is_lower_better else -1
    found: list[int] = []
    for place in sorted(range(len(costs)), key=lambda at: (costs[at], towards_best * means[at])):
        if not found or towards_best * means[place] < towards_best * means[found[-1]]:
            found.append(place)
    return found


def _mean(values: pd.Series) -> float:
    """Not a number where one is missing."""
    return float(pd.to_numeric(values).to_numpy(np.float64, na_value=np.nan).mean())


def _machines(tables: Iterable[pd.DataFrame]) -> int:
    used = pd.concat(list(tables))
    return len(used[[name for name in _ON_A_MACHINE if name in used]].drop_duplicates())


def _draw_panel(panel: Axes, plate: Plate, values: Mapping[str, float]) -> None:
    places = [number for number, label in enumerate(plate.models) if label in values]
    costs = [values[plate.models[number]] for number in places]
    means = [plate.board.means[plate.models[number]] for number in places]
    panel.grid()
    spread_out(panel, np.asarray(costs))
    _draw_front(panel, plate, costs, means)
    for number, cost, mean in zip(places, costs, means, strict=True):
        interval = plate.board.intervals[plate.models[number]]
        if isinstance(interval, Interval):
            panel.plot([cost, cost], interval[:2], color=plate.colour(number), linewidth=0.8, alpha=0.6)
        panel.plot([cost], [mean], "o", color=plate.colour(number), markersize=5, markeredgewidth=0)
    if len(plate.models) > len(SERIES):
        _number(panel, places, costs, means)


def _draw_front(panel: Axes, plate: Plate, costs: Sequence[float], means: Sequence[float]) -> None:
    """A step at each model of the front; level after the dearest of all."""
    best = front(costs, means, is_lower_better=plate.board.panel.is_lower_better)
    across, up = [costs[at] for at in best], [means[at] for at in best]
    panel.step(
        [*across, max(costs)], [*up, up[-1]], where="post", color=MUTED, linewidth=0.8, linestyle="--", zorder=1
    )


def _number(panel: Axes, places: Sequence[int], costs: Sequence[float], means: Sequence[float]) -> None:
    """Each model's place beside its point, where no other number or point is."""
    points = np.stack([_scaled(np.log(costs)), _scaled(np.asarray(means))], axis=1)
    size = np.array(_PANEL) * 72  # points of the typographic kind
    taken = list(points * size)
    for number, point, cost, mean in zip(places, points, costs, means, strict=True):
        room = [
            min(np.abs((point * size + offset - other) / _NUMBER).max() for other in taken) for offset in _OFFSETS
        ]
        offset = next(
            (offset for offset, free in zip(_OFFSETS, room, strict=True) if free >= 1),
            _OFFSETS[int(np.argmax(room))],
        )
        taken.append(point * size + offset)
        style = {"ha": "center", "va": "center", "fontsize": 6.5}
        panel.annotate(f"{number + 1}", (cost, mean), xytext=offset, textcoords="offset points", **style)


def _scaled(values: Floats) -> Floats:
    scaled: Floats = (values - values.min()) / max(float(np.ptp(values)), 1e-12)
    return scaled


def _explain(drawing: Drawing, plate: Plate) -> None:
    """Which colour, or which number, is which model."""
    from matplotlib.lines import Line2D  # noqa: PLC0415 as in canvas

    is_numbered = len(plate.models) > len(SERIES)
    handles = [
        Line2D([], [], linestyle="", marker="" if is_numbered else "o", color=plate.colour(number), markersize=5,
               label=f"{number + 1}  {short(label)}" if is_numbered else short(label))
        for number, label in enumerate(plate.models)
    ]  # fmt: skip
    drawing.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4 if len(handles) == 4 else 3,
        handlelength=0 if is_numbered else 1,
        fontsize=7,
    )


def _caption(plate: Plate, found: Sequence[Cost]) -> str:
    timed = any(cost.is_timed for cost in found)
    return (
        f"Mean {plate.metric} with its 95 % interval against cost. The dashed line joins the models"
        " than which none that costs as little is as good."
        + (" Times are of one machine; ensembles train nothing." if timed else "")
    )
