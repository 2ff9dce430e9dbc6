"""A plugin that a protocol names and the parameters it is checked with, and rules that all kinds share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchbench.contract import ExtensionPlugin, MetricPlugin
from benchbench.registry.kinds import factory_of
from benchbench.registry.parameters import keyword_parameters, resolve_params
from benchbench.testing.documentation import documentation_faults
from benchbench.testing.report import Rule, SkipRuleError, fault

_LEARNING_RATE = 0.1


class ExtensionCandidate(NamedTuple):
    """A plugin and its parameters."""

    plugin: ExtensionPlugin
    params: Mapping[str, Any]

    def build(self, *arguments: Any) -> Any:
        """Return what the plugin builds."""
        factory = factory_of(self.plugin)
        given = dict(self.params)
        if "lr" in keyword_parameters(factory):
            given.setdefault("lr", _LEARNING_RATE)
        return factory(*arguments, **resolve_params(factory, given))


class Masks(NamedTuple):
    """Logits and masks of two samples of two regions."""

    logits: Tensor
    targets: Tensor
    scored: Tensor


def example_masks(*, softmax: bool, quality: float) -> Masks:
    """Return logits of 8 x 8 pixels, right for a positive `quality` and wrong for a negative one."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.zeros(2, 2, 8, 8, dtype=torch.bool)
    targets[:, 0, 1:4, 1:5] = True
    targets[:, 1, 5:7, 2:6] = True
    planes = targets
    if softmax:
        planes = torch.cat([~targets.any(1, keepdim=True), targets], 1)
    logits = torch.where(planes, quality, -quality) + 0.1 * torch.randn(planes.shape, generator=generator)
    return Masks(logits.requires_grad_(), targets, torch.ones(2, 8, 8, dtype=torch.bool))


def source_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    if not candidate.plugin.source.strip():
        yield fault("source is empty", "paper or code that defines the plugin", "give an address or a reference")


def description_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    if isinstance(candidate.plugin, MetricPlugin):
        raise SkipRuleError("a metric has no parameters")
    for line in documentation_faults(factory_of(candidate.plugin)):
        if "'lr'" not in line:
            yield line


SHARED = (
    Rule("source", "it names paper or code", source_faults),
    Rule("documented", "every parameter has a type, a default and a description", description_faults),
)
"""Rules of every kind."""
