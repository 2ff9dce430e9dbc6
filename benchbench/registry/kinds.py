"""The kinds of plugins that a protocol names, and what tables need to know of a metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchbench.contract import (
    ExtensionPlugin,
    LossPlugin,
    MetricPlugin,
    OptimizerPlugin,
    ReporterPlugin,
    SchedulePlugin,
    TransformPlugin,
)
from benchbench.spec.metric_names import MetricFacts

KINDS: Mapping[str, type[ExtensionPlugin]] = {
    "losses": LossPlugin,
    "metrics": MetricPlugin,
    "transforms": TransformPlugin,
    "optimizers": OptimizerPlugin,
    "schedules": SchedulePlugin,
    "reporters": ReporterPlugin,
}
"""Kind, as `benchbench list` and the hooks name it -> class of its plugins."""
SINGULAR = {
    "losses": "loss",
    "metrics": "metric",
    "transforms": "transform",
    "optimizers": "optimiser",
    "schedules": "schedule",
    "reporters": "reporter",
}
"""Kind -> name of one of its plugins in messages."""


def kind_of(plugin: ExtensionPlugin) -> str:
    """Return the kind of a plugin."""
    return next(kind for kind, plugin_class in KINDS.items() if isinstance(plugin, plugin_class))


def factory_of(plugin: ExtensionPlugin) -> Callable[..., Any]:
    """Return the function of a plugin whose keyword parameters are set; metrics and reporters have none."""
    if isinstance(plugin, ReporterPlugin):
        return plugin.open
    return plugin.measure if isinstance(plugin, MetricPlugin) else plugin.build


def facts_of(plugin: MetricPlugin) -> MetricFacts:
    """Return what tables need to know of a metric."""
    return MetricFacts(is_lower_better=plugin.is_lower_better, has_length=plugin.has_length)
