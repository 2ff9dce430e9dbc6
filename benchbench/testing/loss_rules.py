"""Rules for the loss of a plugin."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from benchbench.contract import LossPlugin
from benchbench.testing.extension_candidate import SHARED, ExtensionCandidate, Masks, example_masks
from benchbench.testing.report import Rule, fault

_ACTIVATIONS = frozenset({"sigmoid", "softmax"})


def _cases(candidate: ExtensionCandidate, quality: float) -> Iterator[tuple[str, Masks]]:
    assert isinstance(candidate.plugin, LossPlugin), "the rules are those of losses"
    for activation in sorted(candidate.plugin.activations):
        yield activation, example_masks(softmax=activation == "softmax", quality=quality)


def activation_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    assert isinstance(candidate.plugin, LossPlugin), "the rules are those of losses"
    activations = candidate.plugin.activations
    if not activations or not activations <= _ACTIVATIONS:
        yield fault(f"activations = {set(activations)}", '{"sigmoid"}, {"softmax"} or both', "correct them")


def scalar_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    loss = candidate.build()
    for activation, masks in _cases(candidate, 1.0):
        value = loss(*masks)
        if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
            yield fault(f"{activation}: returned {value!r}", "a scalar tensor", "return the mean, for example")
        elif not torch.isfinite(value):
            yield fault(f"{activation}: the loss is {float(value)}", "a finite number", "add a small number")


def direction_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    loss = candidate.build()
    right = dict(_cases(candidate, 3.0))
    wrong = dict(_cases(candidate, -3.0))
    for activation, masks in right.items():
        good, bad = float(loss(*masks).detach()), float(loss(*wrong[activation]).detach())
        if not good < bad:
            yield fault(
                f"{activation}: right logits have loss {good:.4g} and wrong ones {bad:.4g}",
                "less for the right ones",
                "change its sign",
            )


def gradient_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    loss = candidate.build()
    for activation, masks in _cases(candidate, 0.5):
        loss(*masks).backward()
        gradient = masks.logits.grad
        if gradient is None or not bool(torch.isfinite(gradient).all()) or not bool(gradient.any()):
            yield fault(
                f"{activation}: the gradient of the logits is missing, 0 or not finite",
                "a finite one",
                "compute the loss by operations of torch, without detach and without thresholds",
            )


def ignored_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    loss = candidate.build()
    for activation, masks in _cases(candidate, 0.5):
        scored = masks.scored.clone()
        scored[:, :2] = False
        changed = masks.logits.detach().clone()
        changed[:, :, :2] += 5
        first, second = (float(loss(logits, masks.targets, scored)) for logits in (masks.logits.detach(), changed))
        if first != second:
            yield fault(
                f"{activation}: the loss is {first:.6g}, and {second:.6g} with other logits in ignored voxels",
                "the same",
                "leave out the voxels in which `scored` is False",
            )


def empty_faults(candidate: ExtensionCandidate) -> Iterator[str]:
    loss = candidate.build()
    for activation, masks in _cases(candidate, 0.5):
        value = loss(masks.logits, torch.zeros_like(masks.targets), masks.scored)
        if not torch.isfinite(value):
            yield fault(
                f"{activation}: without foreground the loss is {float(value)}", "a finite number", "smooth it"
            )


RULES = (
    Rule("activations", "it names those that it is for", activation_faults, is_prerequisite=True),
    Rule("scalar", "it returns a finite scalar", scalar_faults, is_prerequisite=True),
    Rule("direction", "right logits have less loss than wrong ones", direction_faults),
    Rule("gradient", "it reaches the logits", gradient_faults),
    Rule("ignored voxels", "they have no part in it", ignored_faults),
    Rule("no foreground", "the loss stays finite", empty_faults),
    *SHARED,
)
