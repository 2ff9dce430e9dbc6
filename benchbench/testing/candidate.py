"""A model under check: built for small inputs, fed with images that any network can learn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from benchbench.contract import Geometry, ModelPlugin
from benchbench.engine.network.losses import predicted_masks, region_masks
from benchbench.engine.network.network import forward_with_loss
from benchbench.errors import IncompatibleError
from benchbench.spec.optimisation import Adam
from benchbench.spec.protocol import Protocol

PATCHES = {
    2: ((64, 64), (128, 128), (256, 256)),
    3: ((16, 16, 16), (16, 16, 32), (32, 32, 32), (32, 32, 64), (64, 64, 64), (96, 96, 96)),
}
"""The first that a model does not refuse is what most rules look at."""
LEARNED = 0.8
"""Dice on the one batch, in training mode."""

_STEPS = 100
_LOOKED_AT = 4  # steps: a part that begins at zero hides what is behind it from the gradient of the first
_RATES = (1e-2, 1e-3)  # what suits convolutions; transformers


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What a short training on one batch showed."""

    dice: float
    """Best of all steps."""
    steps: int
    reached: frozenset[str]
    """Parameters that a gradient other than zero reached."""


@dataclass(frozen=True)
class Candidate:
    """A model with its parameters, and the input that it is looked at with."""

    plugin: ModelPlugin
    params: Mapping[str, Any]
    geometry: Geometry

    def build(self, *, seed: int = 0, geometry: Geometry | None = None) -> nn.Module:
        """A new module, its weights drawn from the seed."""
        torch.manual_seed(seed)
        return self.plugin.build(geometry or self.geometry, **self.params)

    def batch(self, count: int = 2) -> tuple[Tensor, Tensor]:
        """Images (B, C, *patch) of a bright and a dark box in noise, and labels (B, *patch), their bit masks."""
        generator = torch.Generator().manual_seed(7)
        _, regions, patch = self.geometry
        images = torch.randn(count, self.geometry.in_channels, *patch, generator=generator) * 0.1
        labels = torch.zeros(count, *patch, dtype=torch.uint8)
        for number in range(count):
            for region, box in enumerate(_boxes(patch, regions)):
                brightness = 1.0 if region % 2 == 0 else -1.0
                images[(number, slice(None), *box)] += brightness * (1 + region // 2)
                labels[(number, *box)] |= 1 << region
        return images, labels

    def step(self, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and finest logits, as a run computes them."""
        return forward_with_loss(model, images, labels, self.protocol, regions=self.geometry.out_channels)

    def is_unused(self, name: str) -> bool:
        """Whether the plugin says that no gradient reaches this parameter."""
        return any(fnmatchcase(name, pattern) for pattern in self.plugin.unused)

    @property
    def protocol(self) -> Protocol:
        return Protocol(
            ndim=2 if len(self.geometry.patch) == 2 else 3,
            patch=self.geometry.patch,
            epochs=1,
            batch=2,
            optimizer=Adam(name="adam", lr=_RATES[0]),
            loss="bce+dice",
        )

    @cached_property
    def trace(self) -> Trace:
        """A training on one batch until it is learned, at a high rate or, where that fails, at a low one."""
        reached: set[str] = set()
        best, taken = 0.0, 0
        for rate in _RATES:
            for step, (dice, names) in enumerate(self._steps(seed=0, count=_STEPS, rate=rate), start=1):
                taken += 1
                best = max(best, dice)
                reached |= names
                if best > LEARNED and step >= _LOOKED_AT:
                    break
            if best > LEARNED:
                break
        for seed in (1, 2):  # a rectifier may hide what is behind it, by the chance of one seed
            if len(reached) < self._trainable:
                trained = self._steps(seed=seed, count=_LOOKED_AT, rate=_RATES[0])
                reached |= {name for _, names in trained for name in names}
        return Trace(dice=best, steps=taken, reached=frozenset(reached))

    def _steps(self, *, seed: int, count: int, rate: float) -> Iterator[tuple[float, set[str]]]:
        """Dice of the batch, and the parameters with a gradient other than zero, of every step of a training."""
        model = self.build(seed=seed).train()
        images, labels = self.batch()
        masks = region_masks(labels, self.geometry.out_channels)
        named = {name: each for name, each in model.named_parameters() if each.requires_grad}
        optimizer = torch.optim.Adam(named.values(), lr=rate)
        for step in range(count):
            loss, logits = self.step(model, images.clone(), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            looked_at = named if step < _LOOKED_AT else {}
            names = {name for name, each in looked_at.items() if _is_reached(each)}
            optimizer.step()
            yield _dice(predicted_masks(logits.detach(), "sigmoid"), masks), names

    @cached_property
    def _trainable(self) -> int:
        named = self.build().named_parameters()
        return sum(each.requires_grad and not self.is_unused(name) for name, each in named)


def candidates(
    plugin: ModelPlugin, params: Mapping[str, Any]
) -> Iterator[tuple[int, Candidate | None, list[str]]]:
    """For each number of axes, the model for the smallest input it takes, and the refusals of smaller ones."""
    for ndim in sorted(plugin.ndims):
        refused: list[str] = []
        found = None
        for patch in PATCHES[ndim]:
            candidate = Candidate(plugin, params, Geometry(2, 2, patch))
            try:
                candidate.build()
            except IncompatibleError as error:
                refused += error.problems
            except Exception:  # noqa: BLE001 a rule tells of it
                found = candidate
                break
            else:
                found = candidate
                break
        yield ndim, found, refused


def _boxes(patch: tuple[int, ...], regions: int) -> Iterator[tuple[slice, ...]]:
    """One box a region, side by side along the last axis, half as long as the patch along the others."""
    *others, last = patch
    width = max(1, last // (regions + 1))
    for region in range(regions):
        start = region * width + max(1, width // (regions + 1))
        yield (
            *(slice(size // 4, size // 4 + math.ceil(size / 2)) for size in others),
            slice(start, start + width - 1),
        )


def _is_reached(parameter: Tensor) -> bool:
    """Whether it has a gradient, of weights one other than zero: that of a bias may cancel out before a norm."""
    return parameter.grad is not None and (parameter.ndim < 2 or bool(parameter.grad.any()))


def _dice(predicted: Tensor, masks: Tensor) -> float:
    """Dice of all voxels of the batch, the worst region counting."""
    axes = [0, *range(2, masks.ndim)]
    overlap, total = (predicted & masks).sum(axes), predicted.sum(axes) + masks.sum(axes)
    return float((2 * overlap / total.clamp(min=1)).min())
