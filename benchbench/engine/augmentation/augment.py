"""Augmentation of a training batch, on the device that holds it.

Everything random is drawn by `draw`, for the whole batch and from a generator on the CPU, so that it depends on
neither what the batch holds nor the device. `geometry`, `geometry_3d`, `host_augment` and `intensity` apply it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchbench.engine.augmentation import geometry_2d, geometry_3d
from benchbench.engine.augmentation.draw import (
    Change,
    Move,
    Tint,
    draw_axis_moves,
    draw_change,
    draw_matrices,
    draw_seeds,
)
from benchbench.engine.augmentation.host_augment import apply_albumentations
from benchbench.engine.devices.distributed import Part, whole
from benchbench.errors import IncompatibleError
from benchbench.spec.augmentation import Albumentations, AugmentStep, Rot90, Rotate, Scale, Transpose

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def augment(
    images: Tensor,
    labels: Tensor,
    steps: Sequence[AugmentStep],
    *,
    generator: torch.Generator,
    in_place: bool = False,
    part: Part | None = None,
) -> tuple[Tensor, Tensor]:
    """Images (B, C, *patch) float32 and labels (B, *patch) uint8 of two or three axes, changed as `steps` say.

    Geometry comes first, as one resampling, then albumentations, then intensities, each kind in the order of
    the steps. Labels are bit masks of regions; they move with their image and keep their values, 0 beyond its
    border. `generator` is on the CPU. What is returned is new; volumes may be changed `in_place` instead, which
    spares a CPU the time for that much fresh memory. Images and labels may be a `part` of the batch that is drawn
    for.

    Raises:
        IncompatibleError: a step cannot be made on this patch.
    """
    problems = check_patch(steps, images.shape[2:])
    if problems:
        raise IncompatibleError(*problems)
    part = part or whole(len(images))
    shape = (part.of, *images.shape[1:])
    moves = [step for step in steps if isinstance(step, Move)]
    if labels.ndim == 4:
        images, labels = (values.contiguous() if in_place else _copy(values) for values in (images, labels))
        drawn = draw_axis_moves(moves, shape, generator=generator)
        geometry_3d.move(images, labels, geometry_3d.AxisMoves(*(values[part.mine] for values in drawn)))
    else:
        matrices = draw_matrices(moves, shape, generator=generator)
        images, labels = geometry_2d.move(images, labels, matrices[part.mine])
    on_host = [step for step in steps if isinstance(step, Albumentations)]
    if on_host:
        seeds = draw_seeds(len(on_host), part.of, generator=generator)[:, part.mine]
        images, labels = _change_on_host(images, labels, on_host, seeds=seeds)
    for step in steps:
        if isinstance(step, Tint):
            _change_values(images, draw_change(step, part.of, generator=generator).of(part.mine))
    return images, labels


def check_patch(steps: Iterable[AugmentStep], patch: Sequence[int]) -> list[str]:
    """A line for each step that cannot be made on a patch of two or three axes."""
    problem_of = _problem_in_slices if len(patch) == 2 else _problem_in_volumes
    return [f"augment: {problem}" for step in steps if (problem := problem_of(step, patch))]


def _problem_in_slices(step: AugmentStep, patch: Sequence[int]) -> str:
    height, width = patch
    if isinstance(step, Rot90 | Transpose) and height != width:
        return f"{step.name} needs a square patch, found {height} x {width}; use a square one or leave it out"
    if isinstance(step, Scale) and step.interpolation == "cubic":
        return "scale.interpolation: found 'cubic', which is for volumes; slices are scaled with 'linear'"
    return ""


def _problem_in_volumes(step: AugmentStep, patch: Sequence[int]) -> str:
    found = " x ".join(map(str, patch))
    if isinstance(step, Rot90 | Transpose | Rotate):
        return f"{step.name} is for slices, found a patch of {found}; leave it out"
    if isinstance(step, Albumentations):
        return f"albumentations = {step.albumentations!r} is for slices, found a patch of {found}; leave it out"
    return ""


def _copy(values: Tensor) -> Tensor:
    return values.clone(memory_format=torch.contiguous_format)


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
    if geometry_2d.one_by_one(images):
        for number in chosen.tolist():
            one = slice(number, number + 1)
            change.function(images[one], *(amount[one] for amount in change.amounts))
    elif len(chosen):
        index = chosen.to(images.device, non_blocking=True)
        part = images[index]
        change.function(part, *(amount[chosen] for amount in change.amounts))
        images[index] = part
