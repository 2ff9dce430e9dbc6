"""Small computations that show whether a device computes correctly, compared with 64 bits on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""Largest difference as a part of the largest value; fp32 has 24 bits of mantissa and bf16 8."""


class Probe(NamedTuple):
    """The result of one computation."""

    name: str
    difference: float
    """Largest difference from the same computation in 64 bits, as a part of its largest value."""
    tolerance: float
    failure: str = ""
    """The error that the device raised; '' if it raised none."""

    @property
    def is_correct(self) -> bool:
        return not self.failure and self.difference <= self.tolerance


def probe(device: torch.device) -> Iterator[Probe]:
    """Yield the results of a convolution, an attention and a 3D convolution in bf16."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    image, volume = draw(1, 8, 32, 32), draw(1, 8, 16, 16, 16)
    yield _compare("convolution in fp32", device, torch.float32, functional.conv2d, image, draw(16, 8, 3, 3))
    queries, keys, values = draw(1, 2, 64, 16), draw(1, 2, 64, 16), draw(1, 2, 64, 16)
    attention = functional.scaled_dot_product_attention
    yield _compare("attention in fp32", device, torch.float32, attention, queries, keys, values)
    yield _compare(
        "3D convolution in bf16", device, torch.bfloat16, functional.conv3d, volume, draw(8, 8, 3, 3, 3)
    )


def _compare(
    name: str, device: torch.device, dtype: torch.dtype, operation: Callable[..., Tensor], *arguments: Tensor
) -> Probe:
    rounded = [argument.to(dtype) for argument in arguments]
    expected = operation(*(argument.double() for argument in rounded))
    try:
        result = operation(*(argument.to(device) for argument in rounded)).double().cpu()
    except RuntimeError as error:
        return Probe(name, float("inf"), _TOLERANCE[dtype], str(error).partition("\n")[0])
    difference = (result - expected).abs().max() / expected.abs().max()
    return Probe(name, float(difference), _TOLERANCE[dtype])
