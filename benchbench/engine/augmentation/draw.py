"""Random numbers of augmentation: drawn for a whole batch, from a generator on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, assert_never

import torch
from torch import Tensor

from benchbench.engine.augmentation import intensity, spatial_2d
from benchbench.engine.augmentation.spatial_3d import AxisMaps, identity_maps, scale_maps, shift_maps
from benchbench.spec.augmentation import (
    Blur,
    Brightness,
    Contrast,
    Flip,
    Gamma,
    MultiplicativeBrightness,
    Noise,
    Rot90,
    Rotate,
    Scale,
    Shift,
    Transpose,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

SpatialStep = Flip | Rot90 | Transpose | Rotate | Shift | Scale
"""A step that moves pixels."""
IntensityStep = Brightness | MultiplicativeBrightness | Contrast | Gamma | Noise | Blur
"""A step that changes values."""


class IntensityChange(NamedTuple):
    """An intensity transform with the numbers drawn for a batch."""

    function: Callable[..., None]
    """function(images, *amounts) changes images in place."""
    chosen: Tensor
    """(B,) True for samples that are changed."""
    amounts: tuple[Tensor, ...]
    """Tensors (B,), the arguments of `function`."""

    def select(self, index: slice | Tensor) -> IntensityChange:
        """Return the change for some of the samples."""
        amounts = tuple(amount[index] for amount in self.amounts)
        return IntensityChange(self.function, self.chosen[index], amounts)

    def apply(self, images: Tensor) -> None:
        """Change all images (B, C, *patch) in place, whether they are chosen or not."""
        self.function(images, *self.amounts)


def draw_matrices(
    steps: Iterable[SpatialStep], count: int, patch: Sequence[int], *, generator: torch.Generator
) -> Tensor:
    """Return matrices (count, 3, 3) of `spatial_2d` for a batch of `count` slices, all steps in one."""
    matrices = spatial_2d.identity_matrices(count)
    for step in steps:
        matrices = matrices @ _draw_step_matrices(step, count, patch, generator=generator)
    return matrices


def _draw_step_matrices(
    step: SpatialStep, count: int, patch: Sequence[int], *, generator: torch.Generator
) -> Tensor:
    chosen = _chance(step.p, 2, count, generator=generator)  # one for each axis, which only a flip needs
    match step:
        case Flip():
            return spatial_2d.scale_matrices(*torch.where(chosen, -1.0, 1.0))
        case Transpose():
            return spatial_2d.transpose_matrices(chosen[0])
        case Rot90():
            quarters = torch.randint(1, 4, (count,), generator=generator)
            quarters = torch.where(chosen[0], quarters, 0)
            return spatial_2d.rotation_matrices(quarters * (torch.pi / 2)).round()
        case Rotate():
            degrees = _uniform((-step.degrees, step.degrees), count, generator=generator)
            degrees = torch.where(chosen[0], degrees, 0)
            return spatial_2d.rotation_matrices(degrees.deg2rad())
        case Shift():
            fractions = _uniform((-step.fraction, step.fraction), 2, count, generator=generator)
            y, x = torch.where(chosen[0], fractions, 0)
            return spatial_2d.shift_matrices(x * patch[1], y * patch[0])
        case Scale():
            factors = _uniform(step.range, count, generator=generator)
            factors = torch.where(chosen[0], factors, 1)
            return spatial_2d.scale_matrices(factors, factors)
        case _:
            assert_never(step)


def draw_axis_maps(
    steps: Iterable[SpatialStep], count: int, patch: Sequence[int], *, generator: torch.Generator
) -> AxisMaps:
    """Return the maps of `spatial_3d` for a batch of `count` volumes, all steps in one."""
    maps = identity_maps(count)
    for step in steps:
        maps = maps.then(_draw_step_maps(step, count, patch, generator=generator))
    return maps


def _draw_step_maps(
    step: SpatialStep, count: int, patch: Sequence[int], *, generator: torch.Generator
) -> AxisMaps:
    chosen = _chance(step.p, 3, count, generator=generator).T  # one for each axis, which only a flip needs
    match step:
        case Flip():
            return scale_maps(torch.where(chosen, -1.0, 1.0).double())
        case Shift():
            fractions = _uniform((-step.fraction, step.fraction), 3, count, generator=generator).T
            fractions = torch.where(chosen[:, :1], fractions, 0)
            return shift_maps(fractions * torch.tensor(patch))
        case Scale():
            is_scaled = chosen[:, 0]
            factors = _uniform(step.range, count, generator=generator)
            factors = torch.where(is_scaled, factors, 1)
            cubic = is_scaled & (step.interpolation == "cubic")
            return scale_maps(factors[:, None].expand(-1, 3), cubic=cubic)
        case _:
            raise AssertionError(f"check_patch lets {step.name} through")


def draw_change(step: IntensityStep, count: int, *, generator: torch.Generator) -> IntensityChange:
    """Return the change that a step makes to a batch of `count` samples."""
    chosen = _chance(step.p, count, generator=generator)
    match step:
        case Brightness():
            amounts = _uniform((-step.limit, step.limit), count, generator=generator)
            return IntensityChange(intensity.brighten, chosen, (amounts,))
        case MultiplicativeBrightness():
            factors = _uniform(step.range, count, generator=generator)
            return IntensityChange(intensity.multiply, chosen, (factors,))
        case Contrast():
            stretch = intensity.stretch_contrast if step.about == "mean" else intensity.stretch_from_zero
            factors = _uniform(step.range, count, generator=generator)
            return IntensityChange(stretch, chosen, (factors,))
        case Gamma():
            powers = _uniform(step.range, count, generator=generator)
            return IntensityChange(intensity.apply_gamma, chosen, (powers,))
        case Noise():
            sigmas = _uniform(step.sigma, count, generator=generator)
            seeds = draw_seeds(count, generator=generator)
            return IntensityChange(intensity.add_noise, chosen, (sigmas, seeds))
        case Blur():
            sigmas = _uniform(step.sigma, count, generator=generator)
            return IntensityChange(intensity.blur, chosen, (sigmas,))
        case _:
            assert_never(step)


def draw_seeds(*shape: int, generator: torch.Generator) -> Tensor:
    """Return seeds of 32 bits, int64."""
    return torch.randint(2**32, shape, generator=generator)


def _chance(p: float, *shape: int, generator: torch.Generator) -> Tensor:
    """Return True with probability p."""
    return torch.rand(shape, generator=generator, dtype=torch.float64) < p


def _uniform(interval: tuple[float, float], *shape: int, generator: torch.Generator) -> Tensor:
    low, high = interval
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)
