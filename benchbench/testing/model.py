"""Applies every rule to a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from benchbench.contract import ModelPlugin
from benchbench.engine.cost.network_cost import measure_cost
from benchbench.testing import behaviour_rules, output_rules
from benchbench.testing.candidate import LEARNED_DICE, Candidate, select_candidates
from benchbench.testing.documentation import documentation_faults
from benchbench.testing.report import Outcome, Report, Rule, SkipRuleError, fault, judge


def check_model(plugin: ModelPlugin, params: Mapping[str, Any] | None = None, *, compiled: bool = False) -> None:
    """Return if the model passes every rule; small `params` make the check quick.

    Raises:
        ConformanceError: with one line per fault and how to fix it.
    """
    examine_model(plugin, params, compiled=compiled).require()


def examine_model(
    plugin: ModelPlugin, params: Mapping[str, Any] | None = None, *, compiled: bool = False
) -> Report:
    """Return the outcome of every rule in 2D and 3D; `compiled` adds a check of `torch.compile` (a minute)."""
    outcomes: list[Outcome] = []
    refusals: list[str] = []
    rules = tuple(_rules(compiled=compiled))
    with torch.random.fork_rng(devices=[]):
        for selection in select_candidates(plugin, params or {}):
            where = f"{selection.ndim}D"
            refusals += selection.refusals
            if selection.candidate is None:
                outcomes.append(_refused(rules[0], where, last=selection.refusals[-1]))
            else:
                outcomes += judge(rules, selection.candidate, where=where)
    return Report(plugin=plugin.name, outcomes=tuple(outcomes), refused=tuple(dict.fromkeys(refusals)))


def _refused(rule: Rule[Candidate], where: str, *, last: str) -> Outcome:
    """Return the outcome of the first rule for a model that refuses every patch."""
    line = fault("every input is refused", "a patch that is accepted", f"the last refusal: {last}")
    return Outcome(rule=rule.name, where=where, requirement=rule.requirement, state="failed", lines=(line,))


def _rules(*, compiled: bool) -> Iterator[Rule[Candidate]]:
    out, act = output_rules, behaviour_rules
    yield Rule("builds", "it is built, or raises an IncompatibleError", out.build_faults, is_prerequisite=True)
    yield Rule("shapes", "logits have the size of the images", out.shape_faults, is_prerequisite=True)
    yield Rule("training output", "a tensor or a list, finest first", out.training_faults, is_prerequisite=True)
    yield Rule("custom loss", "it has the signature of the contract", out.custom_loss_faults, is_prerequisite=True)
    yield Rule("gradient", "it reaches every parameter not declared unused", act.gradient_faults)
    yield Rule("overfits", f"it learns one batch to a Dice above {LEARNED_DICE}", act.overfitting_faults)
    yield Rule("pretrained", "weights name the data sets that they saw", act.pretrained_faults)
    yield Rule("seeded", "weights and training follow torch's seed", act.seed_faults)
    yield Rule("eval", "logits depend on their own image only", act.eval_faults)
    yield Rule("round trip", "the state dict holds all that logits depend on", act.round_trip_faults)
    yield Rule("inputs", "images and labels are not modified", act.input_faults)
    yield Rule("logits", "the output has no activation", out.activation_faults)
    yield Rule("bf16", "logits are finite under bf16 autocast", out.half_precision_faults)
    yield Rule("documented", "every parameter has a type, a default and a description", _description_faults)
    yield Rule("published", "parameters and multiply-adds equal published counts", _count_faults)
    if compiled:
        yield Rule("compiles", "torch.compile gives the same logits", act.compilation_faults)


def _description_faults(candidate: Candidate) -> Iterator[str]:
    return documentation_faults(candidate.plugin.build)


def _count_faults(candidate: Candidate) -> Iterator[str]:
    advice = "compare layer by layer"
    n_axes = len(candidate.geometry.patch)
    comparable = [published for published in candidate.plugin.published if len(published.geometry.patch) == n_axes]
    if not comparable:
        raise SkipRuleError(f"no counts are published in {n_axes}D")
    for published in comparable:
        geometry = published.geometry
        cost = measure_cost(candidate.plugin, geometry, published.params)
        place = f"{dict(published.params)} at {geometry.in_channels} -> {geometry.out_channels}"
        if cost.trainable != published.parameters:
            expected = f"{published.parameters:,} as in {published.source}"
            yield fault(f"{place}: {cost.trainable:,} parameters", expected, advice)
        if published.macs is not None and cost.macs != published.macs:
            expected = f"{published.macs:,} as in {published.source}"
            yield fault(f"{place}: {cost.macs:,} multiply-adds", expected, advice)
