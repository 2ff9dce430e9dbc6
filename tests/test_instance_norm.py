"""Instance normalisation that keeps the layout of volumes gives the numbers of torch's own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchbench.engine.network.instance_norm import LayoutKeepingInstanceNorm3d

LAYOUT = torch.channels_last_3d
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.02, torch.float16: 2e-3}
"""Type of the volumes -> largest difference; one rounding of values up to 4, and of their gradients."""


def volumes(batch: int, dtype: torch.dtype = torch.float32, channels: int = 3) -> Tensor:
    """Volumes (B, C, 4, 6, 5) in channels_last_3d, whose channels have means far from zero."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(batch, channels, 4, 6, 5, generator=generator, dtype=torch.float64)
    offsets = torch.arange(channels, dtype=torch.float64).reshape(1, -1, 1, 1, 1)
    return (drawn + offsets).to(dtype).contiguous(memory_format=LAYOUT)


def norms(*, affine: bool, dtype: torch.dtype = torch.float32) -> tuple[nn.InstanceNorm3d, nn.InstanceNorm3d]:
    """torch's own normalisation, and the one that keeps the layout, with the same weights."""
    torch.manual_seed(0)
    norm = nn.InstanceNorm3d(3, eps=1e-3, affine=affine, dtype=dtype)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    fast = copy.deepcopy(norm)
    fast.__class__ = LayoutKeepingInstanceNorm3d
    return norm, fast


def pass_through(norm: nn.Module, x: Tensor, weights: Tensor) -> list[Tensor]:
    """The output after the activation, and the gradients of the input and of the parameters."""
    x = x.detach().requires_grad_()
    output = nn.LeakyReLU(0.01)(norm(x))
    (output * weights).sum().backward()
    gradients = [parameter.grad for parameter in norm.parameters() if parameter.grad is not None]
    assert x.grad is not None
    return [output.detach(), x.grad, *gradients]


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("batch", [1, 2])
def test_outputs_and_gradients_are_those_of_torch_in_the_layout_of_the_input(
    dtype: torch.dtype, batch: int, *, affine: bool
) -> None:
    exact, fast = norms(affine=affine, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    weights = torch.randn(batch, 3, 4, 6, 5, generator=torch.Generator().manual_seed(1))
    x = volumes(batch, dtype)
    results = pass_through(fast, x, weights.to(dtype).contiguous(memory_format=LAYOUT))
    # the weights that belong to bf16 and fp16 are rounded, as those of the other are
    expected = pass_through(exact.double(), x.double().contiguous(), weights.to(dtype).double())
    assert len(results) == len(expected) == (4 if affine else 2)
    for number, (result, reference) in enumerate(zip(results, expected, strict=True)):
        if number < 2:
            assert result.dtype == dtype
            assert result.is_contiguous(memory_format=LAYOUT)
        scale = max(1.0, float(reference.abs().max()))
        torch.testing.assert_close(result.double() / scale, reference / scale, rtol=0, atol=TOLERANCES[dtype])


class Kernels(TorchDispatchMode):
    """Collects the volumes that are normalised, by the name of the operation of ATen."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[tuple[str, Tensor]] = []

    def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function._schema.name
        if "batch_norm" in name:
            self.inputs += [(name, tensor) for tensor in args[:2] if tensor.ndim > 1]
            self.inputs += [(name, tensor) for tensor in (kwargs or {}).values() if tensor.ndim > 1]
        return function(*args, **(kwargs or {}))


def test_kernels_get_images_in_channels_last_for_which_a_gpu_has_fast_ones() -> None:
    _, fast = norms(affine=True)
    with Kernels() as kernels:
        pass_through(fast, volumes(2), torch.ones(2, 3, 4, 6, 5).contiguous(memory_format=LAYOUT))
    names = [name for name, _ in kernels.inputs]
    assert names == ["aten::native_batch_norm"] * 4 + ["aten::native_batch_norm_backward"] * 4
    strides = {tensor.stride() for _, tensor in kernels.inputs}
    assert len(strides) == 1, "an output of other strides would be computed by slower kernels"
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for _, tensor in kernels.inputs)


def test_statistics_of_short_types_are_in_fp32() -> None:
    _, fast = norms(affine=False)
    x = (volumes(2) + 100).bfloat16()  # the mean itself has no more than eight bits in bf16
    output = fast(x.contiguous(memory_format=LAYOUT)).float()
    assert float(output.mean((2, 3, 4)).abs().max()) < 1e-2


@pytest.mark.parametrize("channels", [1, 3])
def test_a_contiguous_volume_goes_the_way_of_torch_to_the_bit(channels: int) -> None:
    norm = nn.InstanceNorm3d(channels)
    fast = copy.deepcopy(norm)
    fast.__class__ = LayoutKeepingInstanceNorm3d
    x = volumes(2, channels=channels).contiguous()
    assert torch.equal(fast(x), norm(x))
    assert fast(x).is_contiguous()


def test_running_statistics_and_volumes_of_one_voxel_are_left_to_torch() -> None:
    tracking = nn.InstanceNorm3d(3, track_running_stats=True)
    tracking.__class__ = LayoutKeepingInstanceNorm3d
    tracking(volumes(2))
    assert float(tracking.running_mean.abs().max()) > 0
    _, fast = norms(affine=True)
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        fast(torch.zeros(2, 3, 1, 1, 1))


def test_gradients_are_exact_to_the_second_decimal_of_a_difference_quotient() -> None:
    _, fast = norms(affine=True, dtype=torch.float64)
    x = volumes(2, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(fast, (x,))
