"""Holds a model against every rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from benchbench.contract import ModelPlugin
from benchbench.engine.cost.network_cost import measure_cost
from benchbench.testing import behaviour_rules, output_rules
from benchbench.testing.candidate import LEARNED, Candidate, candidates
from benchbench.testing.documentation import undocumented
from benchbench.testing.report import Outcome, Report, Rule, fault, judge


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
    rules = tuple(_rules(compiled=compiled))
    with torch.random.fork_rng(devices=[]):
        for ndim, candidate, refused in candidates(plugin, params or {}):
            refusals += refused
            if candidate is not None:
                outcomes += judge(rules, candidate, where=f"{ndim}D")
                continue
            line = fault("every input is refused", "one that is not", f"the last refusal: {refused[-1]}")
            named = {"rule": rules[0].name, "asks": rules[0].asks}
            outcomes.append(Outcome(**named, where=f"{ndim}D", state="broken", lines=(line,)))
    return Report(plugin=plugin.name, outcomes=tuple(outcomes), refused=tuple(dict.fromkeys(refusals)))


def _rules(*, compiled: bool) -> Iterator[Rule[Candidate]]:
    """From the ground up: the first mean nothing broken to those after them."""
    out, act = output_rules, behaviour_rules
    yield Rule("builds", "it is built, or refuses with an IncompatibleError", out.builds, is_ground=True)
    yield Rule("shapes", "logits are as large as images of any size and number", out.shapes, is_ground=True)
    yield Rule("training output", "a tensor, or a list of them, finest first", out.training_output, is_ground=True)
    yield Rule("own loss", "it takes and gives what the contract says", out.own_loss, is_ground=True)
    yield Rule("gradient", "it reaches every parameter that is not declared unused", act.gradient)
    yield Rule("overfits", f"one batch is learned to a Dice above {LEARNED}", act.overfits)
    yield Rule("seeded", "weights and training follow torch's seed", act.seeded)
    yield Rule("eval", "logits depend on their image alone, and change nothing", act.evaluates)
    yield Rule("round trip", "the state dict says all that the logits depend on", act.round_trip)
    yield Rule("inputs", "images and labels stay as they were", act.inputs)
    yield Rule("logits", "no activation on the output", out.logits)
    yield Rule("bf16", "logits are finite under bf16 autocast", out.half_precision)
    yield Rule("documented", "every parameter has a type, a default and a meaning", _documented)
    yield Rule("published", "it has the parameters and multiply-adds that are published", _published)
    if compiled:
        yield Rule("compiles", "torch.compile gives the same logits, or is declared not to", act.compiles)


def _documented(candidate: Candidate) -> Iterator[str]:
    return undocumented(candidate.plugin.build)


def _published(candidate: Candidate) -> Iterator[str]:
    for each in candidate.plugin.published:
        if len(each.geometry.patch) != len(candidate.geometry.patch):
            continue
        cost = measure_cost(candidate.plugin, each.geometry, each.params)
        place = f"{dict(each.params)} at {each.geometry.in_channels} -> {each.geometry.out_channels}"
        if cost.trainable != each.parameters:
            expected = f"{each.parameters:,} as {each.source} has"
            yield fault(f"{place}: {cost.trainable:,} parameters", expected, "compare layer by layer")
        if each.macs is not None and cost.macs != each.macs:
            expected = f"{each.macs:,} as {each.source} has"
            yield fault(f"{place}: {cost.macs:,} multiply-adds", expected, "compare layer by layer")
