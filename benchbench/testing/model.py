"""Holds a model against every rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from benchbench.contract import ModelPlugin
from benchbench.testing.candidate import candidates
from benchbench.testing.model_rules import model_rules
from benchbench.testing.report import Outcome, Report, judge


def check_model(plugin: ModelPlugin, params: Mapping[str, Any] | None = None, *, compiled: bool = False) -> None:
    """Nothing, if the model keeps every rule; small `params` make it quick.

    Raises:
        ConformanceError: with every rule that is broken and how to mend it, a line each.
    """
    examine_model(plugin, params, compiled=compiled).require()


def examine_model(
    plugin: ModelPlugin, params: Mapping[str, Any] | None = None, *, compiled: bool = False
) -> Report:
    """What becomes of every rule, for 2D and 3D; `compiled` adds that of `torch.compile`, which takes a minute."""
    outcomes: list[Outcome] = []
    refusals: list[str] = []
    rules = tuple(model_rules(compiled=compiled))
    with torch.random.fork_rng(devices=[]):
        for ndim, candidate, refused in candidates(plugin, params or {}):
            refusals += refused
            if candidate is None:
                line = f"every input is refused, expected one that is not; the last refusal: {refused[-1]}"
                outcomes.append(
                    Outcome(rule="builds", where=f"{ndim}D", asks=rules[0].asks, state="broken", lines=(line,))
                )
            else:
                outcomes += judge(rules, candidate, where=f"{ndim}D")
    return Report(plugin=plugin.name, outcomes=tuple(outcomes), refused=tuple(dict.fromkeys(refusals)))
