"""What is random about augmentation: drawn for a whole batch, from a generator on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, assert_never

import torch
from torch import Tensor

from benchbench.engine.augmentation import geometry_2d, geometry_3d, intensity
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

Move = Flip | Rot90 | Transpose | Rotate | Shift | Scale
"""A step that moves pixels."""
Tint = Brightness | MultiplicativeBrightness | Contrast | Gamma | Noise | Blur
"""A step that changes values."""


class Change(NamedTuple):
    """One change of values, as drawn for a batch."""

    function: Callable[..., None]
    """function(images, *amounts) changes images in place."""
    chosen: Tensor
    """(B,) whether the sample is changed at all."""
    amounts: tuple[Tensor, ...]
    """(B,) each."""

    def of(self, mine: slice) -> Change:
        """The same, for some of the samples."""
        return Change(self.function, self.chosen[mine], tuple(amount[mine] for amount in self.amounts))


def draw_matrices(steps: Iterable[Move], shape: Sequence[int], *, generator: torch.Generator) -> Tensor:
    """(B, 3, 3) moves of `geometry` for images of shape (B, C, H, W), those of all steps in one."""
    count, _, *patch = shape
    matrices = geometry_2d.identity(count)
    for step in steps:
        matrices = matrices @ _draw_move(step, count, patch, generator=generator)
    return matrices


def _draw_move(step: Move, count: int, patch: Sequence[int], *, generator: torch.Generator) -> Tensor:
    chosen = _chance(step.p, 2, count, generator=generator)  # of which only a flip takes one for each axis
    match step:
        case Flip():
            return geometry_2d.zooming(*torch.where(chosen, -1.0, 1.0))
        case Transpose():
            return geometry_2d.transposing(chosen[0])
        case Rot90():
            quarters = torch.randint(1, 4, (count,), generator=generator)
            return geometry_2d.turning(torch.where(chosen[0], quarters, 0) * (torch.pi / 2)).round()
        case Rotate():
            degrees = _uniform((-step.degrees, step.degrees), count, generator=generator)
            return geometry_2d.turning(torch.where(chosen[0], degrees, 0).deg2rad())
        case Shift():
            fractions = _uniform((-step.fraction, step.fraction), 2, count, generator=generator)
            y, x = torch.where(chosen[0], fractions, 0)
            return geometry_2d.shifting(x * patch[1], y * patch[0])
        case Scale():
            factors = torch.where(chosen[0], _uniform(step.range, count, generator=generator), 1)
            return geometry_2d.zooming(factors, factors)
        case _:
            assert_never(step)


def draw_axis_moves(
    steps: Iterable[Move], shape: Sequence[int], *, generator: torch.Generator
) -> geometry_3d.AxisMoves:
    """Moves for volumes of shape (B, C, D, H, W), those of all steps in one."""
    count, _, *patch = shape
    moves = geometry_3d.shifting(torch.zeros(count, 3, dtype=torch.float64))
    for step in steps:
        moves = moves.then(_draw_axis_move(step, count, patch, generator=generator))
    return moves


def _draw_axis_move(
    step: Move, count: int, patch: Sequence[int], *, generator: torch.Generator
) -> geometry_3d.AxisMoves:
    chosen = _chance(step.p, 3, count, generator=generator).T  # of which only a flip takes one for each axis
    match step:
        case Flip():
            return geometry_3d.magnifying(torch.where(chosen, -1.0, 1.0).double())
        case Shift():
            fractions = _uniform((-step.fraction, step.fraction), 3, count, generator=generator).T
            return geometry_3d.shifting(torch.where(chosen[:, :1], fractions, 0) * torch.tensor(patch))
        case Scale():
            factors = torch.where(chosen[:, 0], _uniform(step.range, count, generator=generator), 1)
            cubic = chosen[:, 0] & (step.interpolation == "cubic")
            return geometry_3d.magnifying(factors[:, None].expand(-1, 3), cubic=cubic)
        case _:
            raise AssertionError(f"check_patch lets {step.name} through")


def draw_change(step: Tint, count: int, *, generator: torch.Generator) -> Change:
    """What a step does to a batch of `count`."""
    chosen = _chance(step.p, count, generator=generator)
    match step:
        case Brightness():
            amounts = _uniform((-step.limit, step.limit), count, generator=generator)
            return Change(intensity.brighten, chosen, (amounts,))
        case MultiplicativeBrightness():
            return Change(intensity.multiply, chosen, (_uniform(step.range, count, generator=generator),))
        case Contrast():
            stretch = intensity.stretch_contrast if step.about == "mean" else intensity.stretch_from_zero
            return Change(stretch, chosen, (_uniform(step.range, count, generator=generator),))
        case Gamma():
            return Change(intensity.bend_gamma, chosen, (_uniform(step.range, count, generator=generator),))
        case Noise():
            sigmas = _uniform(step.sigma, count, generator=generator)
            return Change(intensity.add_noise, chosen, (sigmas, draw_seeds(count, generator=generator)))
        case Blur():
            return Change(intensity.blur, chosen, (_uniform(step.sigma, count, generator=generator),))
        case _:
            assert_never(step)


def _chance(p: float, *shape: int, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64) < p


def _uniform(interval: tuple[float, float], *shape: int, generator: torch.Generator) -> Tensor:
    low, high = interval
    return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)


def draw_seeds(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2**32, shape, generator=generator)
