"""Applies every rule of its kind to a loss, a metric, a transform, an optimiser or a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from benchbench.contract import ExtensionPlugin
from benchbench.registry.kinds import SINGULAR, kind_of
from benchbench.testing import loss_rules, metric_rules, optimiser_rules, reporter_rules, transform_rules
from benchbench.testing.extension_candidate import ExtensionCandidate
from benchbench.testing.report import Report, Rule, judge

_RULES: Mapping[str, Sequence[Rule[ExtensionCandidate]]] = {
    "losses": loss_rules.RULES,
    "metrics": metric_rules.RULES,
    "transforms": transform_rules.RULES,
    "optimizers": optimiser_rules.OPTIMISER_RULES,
    "schedules": optimiser_rules.SCHEDULE_RULES,
    "reporters": reporter_rules.RULES,
}


def check_extension(plugin: ExtensionPlugin, params: Mapping[str, Any] | None = None) -> None:
    """Return if the plugin passes every rule of its kind.

    Raises:
        ConformanceError: with one line per fault and how to fix it.
    """
    examine_extension(plugin, params).require()


def examine_extension(plugin: ExtensionPlugin, params: Mapping[str, Any] | None = None) -> Report:
    """Return the outcome of every rule of the plugin's kind."""
    kind = kind_of(plugin)
    candidate = ExtensionCandidate(plugin, dict(params or {}))
    with torch.random.fork_rng(devices=[]):
        outcomes = tuple(judge(_RULES[kind], candidate, where=SINGULAR[kind]))
    return Report(plugin=plugin.name, outcomes=outcomes)
