"""Scores of metrics that plugins define."""

from __future__ import annotations

from collections.abc import Sequence

from benchbench.contract import MetricPlugin
from benchbench.errors import PluginError
from benchbench.images.arrays import Mask


def measure_plugins(
    plugins: Sequence[MetricPlugin], reference: Mask, prediction: Mask, *, spacing_mm: Sequence[float] | None
) -> dict[str, float]:
    """Return the score of each metric by the name of its column, which has a unit if the score is a length."""
    unit = "px" if spacing_mm is None else "mm"
    row: dict[str, float] = {}
    for plugin in plugins:
        column = f"{plugin.name}_{unit}" if plugin.has_length else plugin.name
        row[column] = measure_plugin(plugin, reference, prediction, spacing_mm=spacing_mm)
    return row


def measure_plugin(
    plugin: MetricPlugin, reference: Mask, prediction: Mask, *, spacing_mm: Sequence[float] | None
) -> float:
    """Return the score of two masks of one shape; where one is empty, what the plugin declares for it.

    Raises:
        PluginError: the plugin failed, or its score is outside of its range.
    """
    has_reference, has_prediction = bool(reference.any()), bool(prediction.any())
    if not has_reference or not has_prediction:
        return plugin.both_empty if has_reference == has_prediction else plugin.one_empty
    spacing = None if spacing_mm is None else tuple(map(float, spacing_mm))
    try:
        score = float(plugin.measure(reference.copy(), prediction.copy(), spacing))
    except Exception as error:  # a plugin may raise anything
        raise PluginError(
            f"metric '{plugin.name}': {type(error).__name__}: {error}; correct its plugin"
        ) from error
    low, high = plugin.range
    if not low <= score <= high:
        raise PluginError(
            f"metric '{plugin.name}': found {score:g}, expected a score in [{low:g}, {high:g}]; correct its plugin"
        )
    return score
