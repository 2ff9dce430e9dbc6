from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchbench.engine.augmentation.axes import multiply_batch, multiply_sample


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def banded(size: int, *, width: int, seed: int) -> Tensor:
    """A matrix with numbers near its diagonal only."""
    matrix = torch.randn(size, size, generator=seeded(seed))
    places = torch.arange(size)
    return matrix * ((places[:, None] - places).abs() <= width)


def by_einsum(volumes: Tensor, matrices: list[Tensor]) -> Tensor:
    return torch.einsum("cdhw,id,jh,kw->cijk", volumes, *matrices)


@pytest.mark.parametrize("space", [(5, 6, 7), (40, 17, 16), (1, 33, 2)])
@pytest.mark.parametrize("width", [0, 2, 50])
def test_a_sample_is_multiplied_axis_by_axis(space: tuple[int, ...], width: int) -> None:
    volumes = torch.randn(2, *space, generator=seeded())
    matrices = [banded(size, width=width, seed=axis) for axis, size in enumerate(space)]
    expected = by_einsum(volumes, matrices)
    multiply_sample(volumes, matrices)
    torch.testing.assert_close(volumes, expected, atol=1e-4, rtol=1e-4)


def test_each_sample_of_a_batch_is_multiplied_by_its_own_matrices() -> None:
    volumes = torch.randn(3, 2, 9, 6, 7, generator=seeded())
    matrices = [torch.randn(3, size, size, generator=seeded(size)) for size in (9, 6, 7)]
    product = multiply_batch(volumes, matrices)
    for number, volume in enumerate(volumes):
        expected = by_einsum(volume, [matrix[number] for matrix in matrices])
        torch.testing.assert_close(product[number], expected, atol=1e-4, rtol=1e-4)


def test_rows_of_zeros_give_zeros() -> None:
    volumes = torch.ones(1, 40, 3, 3)
    shift = torch.eye(40).roll(35, 0)
    shift[:35] = 0
    multiply_sample(volumes, [shift, torch.eye(3), torch.eye(3)])
    assert not volumes[0, :35].any()
    assert bool((volumes[0, 35:] == 1).all())
    multiply_sample(volumes, [torch.zeros(40, 40), torch.eye(3), torch.eye(3)])
    assert not volumes.any()
