"""A model under check: built for small inputs and trained on images that any network can learn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchbench.contract import Geometry, ModelPlugin
from benchbench.engine.network.network import forward_with_loss
from benchbench.engine.network.regions import masks_of_logits, region_masks
from benchbench.errors import IncompatibleError
from benchbench.spec.loss import Loss
from benchbench.spec.optimisation import Adam
from benchbench.spec.protocol import Protocol

PATCHES = {
    2: ((64, 64), (128, 128), (256, 256)),
    3: ((16, 16, 16), (16, 16, 32), (32, 32, 32), (32, 32, 64), (64, 64, 64), (96, 96, 96)),
}
"""Number of axes -> patches to try; most rules use the first one that the model accepts."""
LEARNED_DICE = 0.8
"""Dice on the one batch, in training mode, above which it counts as learned."""

_STEPS = 100
_GRADIENT_STEPS = 4  # a layer that begins at zero blocks the gradient of the layers before it in the first step
_PATIENCE = 25  # steps without gain after which the next learning rate is tried
_GAIN = 0.99  # of the loss: the Dice of a small network stays 0 for many steps in which it learns
_LEARNING_RATES = (1e-2, 1e-3)  # suits convolutions; suits transformers


@dataclass(frozen=True, kw_only=True)
class Trace:
    """The result of a short training on one batch."""

    dice: float
    """Highest Dice of all steps."""
    steps: int
    reached: frozenset[str]
    """Names of the parameters that received a gradient other than zero."""


class _Step(NamedTuple):
    """The result of a training step on the one batch."""

    dice: float
    loss: float
    reached: set[str]
    """Names of the parameters with a gradient other than zero; empty after the first few steps."""


@dataclass(frozen=True)
class Candidate:
    """A model with its parameters, and the input that the rules use."""

    plugin: ModelPlugin
    params: Mapping[str, Any]
    geometry: Geometry

    def build(self, *, seed: int = 0, geometry: Geometry | None = None) -> nn.Module:
        """Build a new module with weights drawn from the seed."""
        torch.manual_seed(seed)
        return self.plugin.build(geometry or self.geometry, **self.params)

    def batch(self, count: int = 2) -> tuple[Tensor, Tensor]:
        """Return images (B, C, *patch) of bright and dark boxes in noise, and labels (B, *patch) as bit masks."""
        channels, regions, patch = self.geometry
        generator = torch.Generator().manual_seed(7)
        images = 0.1 * torch.randn(count, channels, *patch, generator=generator)
        labels = torch.zeros(count, *patch, dtype=torch.uint8)
        for region, box in enumerate(_boxes(patch, regions)):
            sign = 1.0 if region % 2 == 0 else -1.0
            brightness = sign * (1 + region // 2)
            images[(..., *box)] += brightness
            labels[(..., *box)] |= 1 << region
        return images, labels

    def step(self, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the finest logits, computed as in a run."""
        return forward_with_loss(model, images, labels, self.protocol, regions=self.geometry.out_channels)

    def is_unused(self, name: str) -> bool:
        """Return True if the plugin declares that no gradient reaches this parameter."""
        return any(fnmatchcase(name, pattern) for pattern in self.plugin.unused)

    @property
    def protocol(self) -> Protocol:
        return Protocol(
            ndim=2 if len(self.geometry.patch) == 2 else 3,
            patch=self.geometry.patch,
            epochs=1,
            batch=2,
            optimizer=Adam(name="adam", lr=_LEARNING_RATES[0]),
            loss=Loss(name="bce+dice"),
        )

    @cached_property
    def trace(self) -> Trace:
        """Training on one batch until it is learned: with a high learning rate, then with a low one."""
        reached: set[str] = set()
        best = 0.0
        steps = 0
        for learning_rate in _LEARNING_RATES:
            patience = _STEPS if learning_rate == _LEARNING_RATES[-1] else _PATIENCE
            trace = self._learn(learning_rate, patience=patience)
            reached |= trace.reached
            best = max(best, trace.dice)
            steps += trace.steps
            if best > LEARNED_DICE:
                break
        for seed in (1, 2):  # with one seed, a rectifier may by chance block all gradients of a layer
            if len(reached) >= self._trainable:
                break
            for step in self._train(seed=seed, steps=_GRADIENT_STEPS, learning_rate=_LEARNING_RATES[0]):
                reached |= step.reached
        return Trace(dice=best, steps=steps, reached=frozenset(reached))

    def _learn(self, learning_rate: float, *, patience: int) -> Trace:
        """Train until the batch is learned, there was no gain for some steps, or the steps are over.

        A gain is a higher Dice, or a loss that is lower by one percent than at the last gain.
        """
        reached: set[str] = set()
        highest, lowest = 0.0, math.inf
        last_gain = steps = 0
        for step in self._train(steps=_STEPS, learning_rate=learning_rate):
            steps += 1
            reached |= step.reached
            if step.dice > highest or step.loss < _GAIN * lowest:
                highest, lowest, last_gain = max(highest, step.dice), min(lowest, step.loss), steps
            has_learned = highest > LEARNED_DICE and steps >= _GRADIENT_STEPS
            if has_learned or steps - last_gain >= patience:
                break
        return Trace(dice=highest, steps=steps, reached=frozenset(reached))

    def _train(self, *, steps: int, learning_rate: float, seed: int = 0) -> Iterator[_Step]:
        """Yield the result of every step, Dice and loss of the batch before it."""
        model = self.build(seed=seed).train()
        images, labels = self.batch()
        masks = region_masks(labels, self.geometry.out_channels)
        parameters = dict(model.named_parameters())
        trainable = {name: weights for name, weights in parameters.items() if weights.requires_grad}
        optimizer = torch.optim.Adam(trainable.values(), lr=learning_rate)
        for step in range(steps):
            loss, logits = self.step(model, images.clone(), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            reached: set[str] = set()
            if step < _GRADIENT_STEPS:
                reached = {name for name, weights in trainable.items() if _is_reached(weights)}
            optimizer.step()
            dice = _worst_dice(masks_of_logits(logits.detach(), "sigmoid"), masks)
            yield _Step(dice, float(loss.detach()), reached)

    @cached_property
    def _trainable(self) -> int:
        """Number of parameters that a gradient should reach."""
        named = self.build().named_parameters()
        return sum(weights.requires_grad and not self.is_unused(name) for name, weights in named)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The candidate for one number of axes."""

    ndim: int
    candidate: Candidate | None
    """Built for the smallest patch that the model accepts; None if it refuses all."""
    refusals: tuple[str, ...]
    """Messages of the refused smaller patches."""


def select_candidates(plugin: ModelPlugin, params: Mapping[str, Any]) -> Iterator[Selection]:
    """Yield the candidate for each number of axes that the plugin declares."""
    for ndim in sorted(plugin.ndims):
        yield _select_candidate(plugin, params, ndim)


def _select_candidate(plugin: ModelPlugin, params: Mapping[str, Any], ndim: int) -> Selection:
    refusals: list[str] = []
    for patch in PATCHES[ndim]:
        candidate = Candidate(plugin, params, Geometry(2, 2, patch))
        try:
            candidate.build()
        except IncompatibleError as error:
            refusals += error.problems
            continue
        except Exception:  # noqa: BLE001, S110 the rule 'builds' reports it
            pass
        return Selection(ndim=ndim, candidate=candidate, refusals=tuple(refusals))
    return Selection(ndim=ndim, candidate=None, refusals=tuple(refusals))


def _boxes(patch: tuple[int, ...], regions: int) -> Iterator[tuple[slice, ...]]:
    """Yield one box per region: in a row along the last axis, half as long as the patch along the others."""
    *others, last = patch
    across = [_middle_half(size) for size in others]
    width = max(1, last // (regions + 1))
    margin = max(1, width // (regions + 1))
    for region in range(regions):
        start = region * width + margin
        along = slice(start, start + width - 1)
        yield (*across, along)


def _middle_half(size: int) -> slice:
    start = size // 4
    return slice(start, start + math.ceil(size / 2))


def _is_reached(parameter: Tensor) -> bool:
    """Return True if a parameter received a gradient.

    The gradient of a weight must be other than zero; that of a bias may cancel out before a norm.
    """
    if parameter.grad is None:
        return False
    return parameter.ndim < 2 or bool(parameter.grad.any())


def _worst_dice(predicted: Tensor, masks: Tensor) -> float:
    """Return the Dice over all voxels of the batch, of the region with the lowest one."""
    axes = [0, *range(2, masks.ndim)]
    overlap = (predicted & masks).sum(axes)
    total = predicted.sum(axes) + masks.sum(axes)
    return float((2 * overlap / total.clamp(min=1)).min())
