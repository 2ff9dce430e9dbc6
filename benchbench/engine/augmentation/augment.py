"""Augmentation of a training batch, on the device that holds it.

`draw` draws all random numbers for the whole batch, from a generator on the CPU. They therefore depend neither on
what the batch holds nor on the device. `spatial_2d`, `spatial_3d`, `host_augment` and `intensity` apply them.

MONAI, TorchIO, batchgeneratorsv2 and albumentations transform one sample at a time on CPU cores, and a GPU waits
where these are few. kornia transforms batches, but took ten times as long on a CPU. `benchmarks/speed` has
comparisons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchbench.engine.augmentation import samples, spatial_2d, spatial_3d
from benchbench.engine.augmentation.draw import (
    IntensityChange,
    IntensityStep,
    SpatialStep,
    draw_axis_maps,
    draw_change,
    draw_matrices,
    draw_seeds,
)
from benchbench.engine.augmentation.host_augment import apply_albumentations
from benchbench.engine.augmentation.plugin_transforms import apply_plugin
from benchbench.engine.devices.distributed import Part, whole_batch
from benchbench.errors import IncompatibleError
from benchbench.spec.augmentation import Albumentations, AugmentStep, Rot90, Rotate, Scale, Transpose
from benchbench.spec.plugin_choice import PluginTransform

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
    """Return images (B, C, *patch) float32 and labels (B, *patch) uint8, of two or three axes, after all steps.

    Spatial transforms are applied first, as one resampling, then albumentations, then those of plugins, then
    intensity transforms, each kind in the order of the steps. Labels are bit masks of regions; they move with
    their image, keep their values and are 0 beyond the border of it. `generator` is on the CPU. The result is new;
    `in_place` allows the batch to be overwritten, which saves a CPU the time for new memory. Where images and
    labels are a `part` of a batch, the random numbers are drawn for the whole batch.

    Raises:
        IncompatibleError: a step is not possible on this patch.
    """
    problems = check_patch(steps, images.shape[2:])
    if problems:
        raise IncompatibleError(*problems)
    part = part or whole_batch(len(images))
    spatial = [step for step in steps if isinstance(step, SpatialStep)]
    if not in_place:
        images, labels = _copy(images), _copy(labels)
    images, labels = _transform_space(images, labels, spatial, part, generator=generator)
    images, labels = _transform_by_others(images, labels, steps, part, generator=generator)
    for step in steps:
        if isinstance(step, IntensityStep):
            change = draw_change(step, part.batch_size, generator=generator)
            _change_intensities(images, change.select(part.samples))
    return images, labels


def check_patch(steps: Iterable[AugmentStep], patch: Sequence[int]) -> list[str]:
    """Return a line for each step that is not possible on a patch of two or three axes."""
    problem_of = _problem_in_slices if len(patch) == 2 else _problem_in_volumes
    problems = [problem_of(step, patch) for step in steps]
    return [f"augment: {problem}" for problem in problems if problem]


def _problem_in_slices(step: AugmentStep, patch: Sequence[int]) -> str:
    height, width = patch
    if isinstance(step, Rot90 | Transpose) and height != width:
        return f"{step.name} needs a square patch, found {height} x {width}; use a square one or leave it out"
    if isinstance(step, Scale) and step.interpolation == "cubic":
        return "scale.interpolation: found 'cubic', which is for volumes; slices are scaled with 'linear'"
    return ""


def _problem_in_volumes(step: AugmentStep, patch: Sequence[int]) -> str:
    size = " x ".join(map(str, patch))
    if isinstance(step, Rot90 | Transpose | Rotate):
        return f"{step.name} is for slices, found a patch of {size}; leave it out"
    if isinstance(step, Albumentations):
        return f"albumentations = {step.albumentations!r} is for slices, found a patch of {size}; leave it out"
    return ""


def _copy(values: Tensor) -> Tensor:
    return values.clone(memory_format=torch.contiguous_format)


def _transform_space(
    images: Tensor, labels: Tensor, spatial: Sequence[SpatialStep], part: Part, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return slices after the spatial steps, new, or volumes, changed in place where they are contiguous."""
    if not spatial:
        return images, labels
    patch = images.shape[2:]
    if labels.ndim == 4:
        images, labels = images.contiguous(), labels.contiguous()
        maps = draw_axis_maps(spatial, part.batch_size, patch, generator=generator)
        spatial_3d.transform_in_place(images, labels, maps.select(part.samples))
        return images, labels
    matrices = draw_matrices(spatial, part.batch_size, patch, generator=generator)
    return spatial_2d.transform(images, labels, matrices[part.samples])


def _transform_by_others(
    images: Tensor, labels: Tensor, steps: Sequence[AugmentStep], part: Part, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return slices after albumentations, then slices or volumes after the transforms of plugins."""
    on_host = [step for step in steps if isinstance(step, Albumentations)]
    if on_host:
        seeds = draw_seeds(len(on_host), part.batch_size, generator=generator)[:, part.samples]
        images, labels = _transform_on_host(images, labels, on_host, seeds=seeds)
    of_plugins = [step for step in steps if isinstance(step, PluginTransform)]
    for step in of_plugins:
        (step_seeds,) = draw_seeds(1, part.batch_size, generator=generator)[:, part.samples].tolist()
        images, labels = apply_plugin(images, labels, step, seeds=step_seeds)
    return images, labels


def _transform_on_host(
    images: Tensor, labels: Tensor, steps: Sequence[Albumentations], *, seeds: Tensor
) -> tuple[Tensor, Tensor]:
    """Return slices after albumentations; seeds (steps, B)."""
    pixels = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()  # albumentations takes channels last
    masks = labels.cpu().numpy()
    for step, step_seeds in zip(steps, seeds.tolist(), strict=True):
        pixels, masks = apply_albumentations(pixels, masks, step, seeds=step_seeds)
    transformed = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return transformed.to(images.device), torch.from_numpy(masks).to(labels.device)


def _change_intensities(images: Tensor, change: IntensityChange) -> None:
    """Change the chosen samples in place."""
    chosen = change.chosen.nonzero()[:, 0]
    if samples.one_at_a_time(images):
        for number in chosen.tolist():
            sample = slice(number, number + 1)
            change.select(sample).apply(images[sample])
    elif len(chosen):
        index = chosen.to(images.device, non_blocking=True)
        selected = images[index]
        change.select(chosen).apply(selected)
        images[index] = selected
