"""The statistics of a benchmark file: which differences matter."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from benchbench.spec.metric_names import Metric, is_lower_better, without_unit
from benchbench.spec.strict import Positive, Strict

_DELTAS = {
    # a background of 99 % of the voxels leaves a hundredth of the differences of Dice
    "accuracy": 0.001,
    "specificity": 0.001,
    # a missed lesion counts 374 mm
    "lesion_hd95": 5.0,
}
_DELTA = 0.01  # two readers of one image differ by several times as much in Dice
_DELTA_DISTANCE = 1.0  # mm or pixels: about one voxel


class StatisticsTable(Strict):
    """The differences that matter, by which verdicts of equivalence are given."""

    delta: dict[Metric, Positive] = Field(default_factory=dict)
    """Metric -> the smallest difference that matters, in the unit of the metric. Without an entry it is 0.01; for
    accuracy and specificity, which the background dominates, 0.001; for distances 1 mm or pixel, for `lesion_hd95`
    5 mm."""


def delta_of(column: str, deltas: Mapping[str, float]) -> float:
    """Return the smallest difference that matters for the metric of a column, in its own unit."""
    metric = without_unit(column)
    kind = metric.partition("@")[0]
    if metric in deltas:
        return deltas[metric]
    if kind in _DELTAS:
        return _DELTAS[kind]
    return _DELTA_DISTANCE if is_lower_better(column) else _DELTA
