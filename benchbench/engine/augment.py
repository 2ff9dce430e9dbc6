"""Augmentation of a training batch, on the device that holds it.

Everything random is drawn here, for the whole batch and from a generator on the CPU, so that it depends neither on
what the batch holds nor on the device. `geometry`, `host_augment` and `intensity` apply what was drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, assert_never

import torch
from torch import Tensor

from benchbench.engine import geometry, intensity
from benchbench.engine.host_augment import apply_albumentations
from benchbench.errors import IncompatibleError
from benchbench.protocol import (
    Albumentations,
    AugmentStep,
    Blur,
    Brightness,
    Contrast,
    Flip,
    Gamma,
    Noise,
    Rot90,
    Rotate,
    Scale,
    Shift,
    Transpose,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Move = Flip | Rot90 | Transpose | Rotate | Shift | Scale
"""A step that moves pixels."""
Tint = Brightness | Contrast | Gamma | Noise | Blur
"""A step that changes values."""


class Change(NamedTuple):
    """One change of values, as drawn for a batch."""

    function: Callable[..., None]
    """function(images, *amounts) changes images in place."""
    chosen: Tensor
    """(B,) whether the sample is changed at all."""
    amounts: tuple[Tensor, ...]
    """(B,) each."""


def augment(
    images: Tensor, labels: Tensor, steps: Sequence[AugmentStep], *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """New images (B, C, H, W) float32 and labels (B, H, W) uint8, changed as `steps` say.

    Geometry comes first, as one resampling, then albumentations, then intensities, each kind in the order of
    the steps. Labels are bit masks of regions; they move with their image and keep their values, 0 beyond its
    border. `generator` is on the CPU.

    Raises:
        IncompatibleError: a step cannot be made on this patch.
    """
    problems = check_patch(steps, images.shape[2:])
    if problems:
        raise IncompatibleError(*problems)
    moves = [step for step in steps if isinstance(step, Move)]
    images, labels = geometry.move(images, labels, draw_matrices(moves, images.shape, generator=generator))
    on_host = [step for step in steps if isinstance(step, Albumentations)]
    if on_host:
        seeds = _draw_seeds(len(on_host), len(images), generator=generator)
        images, labels = _change_on_host(images, labels, on_host, seeds=seeds)
    for step in steps:
        if isinstance(step, Tint):
            _change_values(images, draw_change(step, len(images), generator=generator))
    return images, labels


def check_patch(steps: Iterable[AugmentStep], patch: Sequence[int]) -> list[str]:
    """A line for each step that cannot be made on a patch of (H, W) pixels."""
    height, width = patch
    return [
        f"augment: {step.name} needs a square patch, found {height} x {width}; use a square one or leave it out"
        for step in steps
        if isinstance(step, Rot90 | Transpose) and height != width
    ]


def draw_matrices(steps: Iterable[Move], shape: Sequence[int], *, generator: torch.Generator) -> Tensor:
    """(B, 3, 3) moves of `geometry` for images of shape (B, C, H, W), those of all steps in one."""
    count, _, *patch = shape
    matrices = geometry.identity(count)
    for step in steps:
        matrices = matrices @ _draw_move(step, count, patch, generator=generator)
    return matrices


def _draw_move(step: Move, count: int, patch: Sequence[int], *, generator: torch.Generator) -> Tensor:
    chosen = _chance(step.p, 2, count, generator=generator)  # of which only a flip takes one for each axis
    match step:
        case Flip():
            return geometry.zooming(*torch.where(chosen, -1.0, 1.0))
        case Transpose():
            return geometry.transposing(chosen[0])
        case Rot90():
            quarters = torch.randint(1, 4, (count,), generator=generator)
            return geometry.turning(torch.where(chosen[0], quarters, 0) * (torch.pi / 2)).round()
        case Rotate():
            degrees = _uniform((-step.degrees, step.degrees), count, generator=generator)
            return geometry.turning(torch.where(chosen[0], degrees, 0).deg2rad())
        case Shift():
            fractions = _uniform((-step.fraction, step.fraction), 2, count, generator=generator)
            y, x = torch.where(chosen[0], fractions, 0)
            return geometry.shifting(x * patch[1], y * patch[0])
        case Scale():
            factors = torch.where(chosen[0], _uniform(step.range, count, generator=generator), 1)
            return geometry.zooming(factors, factors)
        case _:
            assert_never(step)


def draw_change(step: Tint, count: int, *, generator: torch.Generator) -> Change:
    """What a step does to a batch of `count`."""
    chosen = _chance(step.p, count, generator=generator)
    match step:
        case Brightness():
            amounts = _uniform((-step.limit, step.limit), count, generator=generator)
            return Change(intensity.brighten, chosen, (amounts,))
        case Contrast():
            return Change(intensity.stretch_contrast, chosen, (_uniform(step.range, count, generator=generator),))
        case Gamma():
            return Change(intensity.bend_gamma, chosen, (_uniform(step.range, count, generator=generator),))
        case Noise():
            sigmas = _uniform(step.sigma, count, generator=generator)
            return Change(intensity.add_noise, chosen, (sigmas, _draw_seeds(count, generator=generator)))
        case Blur():
            return Change(intensity.blur, chosen, (_uniform(step.sigma, count, generator=generator),))
        case _:
            assert_never(step)


def _chance(p: float, *shape: int, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64) < p


def _uniform(interval: tuple[float, float], *shape: int, generator: torch.Generator) -> Tensor:
    low, high = interval
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)


def _draw_seeds(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2**32, shape, generator=generator)


def _change_on_host(
    images: Tensor, labels: Tensor, steps: Sequence[Albumentations], *, seeds: Tensor
) -> tuple[Tensor, Tensor]:
    """The same by albumentations, which wants channels last; seeds (steps, B)."""
    pixels, masks = images.permute(0, 2, 3, 1).contiguous().cpu().numpy(), labels.cpu().numpy()
    for step, own in zip(steps, seeds.tolist(), strict=True):
        pixels, masks = apply_albumentations(pixels, masks, step, seeds=own)
    changed = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return changed.to(images.device), torch.from_numpy(masks).to(labels.device)


def _change_values(images: Tensor, change: Change) -> None:
    """Changes the chosen samples in place."""
    chosen = change.chosen.nonzero()[:, 0]
    if geometry.one_by_one(images):
        for number in chosen.tolist():
            one = slice(number, number + 1)
            change.function(images[one], *(amount[one] for amount in change.amounts))
    elif len(chosen):
        index = chosen.to(images.device, non_blocking=True)
        part = images[index]
        change.function(part, *(amount[chosen] for amount in change.amounts))
        images[index] = part
