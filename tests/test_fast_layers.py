"""Layers that save copies on a GPU give the numbers of torch's own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from small_models import MODELS
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchbench import Geometry
from benchbench.registry.registry import discover
from benchbench_models import unet
from benchbench_models.fast_layers import Upsampling, without_copies

COPIES = ("clone", "copy_")


class Operations(TorchDispatchMode):
    """Counts the operations of ATen by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[function._schema.name.partition("::")[2]] += 1
        return function(*args, **(kwargs or {}))


def block(*, is_fast: bool) -> nn.Module:
    """Two normalised convolutions whose activations work in place."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels in (2, 4):
        layers += [nn.Conv3d(channels, 4, 3), nn.InstanceNorm3d(4, affine=True), nn.LeakyReLU(inplace=True)]
    network = nn.Sequential(*layers)
    return without_copies(network) if is_fast else network


def step(network: nn.Module, images: Tensor) -> tuple[list[Tensor], int]:
    """The output and all gradients of a step, and the number of copies."""
    with Operations() as operations:
        output = network(images)
        output.square().mean().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return [output, *gradients], sum(operations.counts[name] for name in COPIES)


def test_gradients_pass_a_normalisation_without_copies_and_unchanged() -> None:
    images = torch.randn(2, 2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    plain, plain_copies = step(block(is_fast=False), images)
    fast, fast_copies = step(block(is_fast=True), images)
    assert (plain_copies, fast_copies) == (8, 0)
    assert len(plain) == 9
    for expected, actual in zip(plain, fast, strict=True):
        assert torch.equal(actual, expected)


@pytest.mark.parametrize(
    "name", ["nnunet_plain", "nnunet_residual", "monai_dynunet", "monai_basic_unet_plus_plus"]
)
def test_networks_of_libraries_copy_no_gradient_for_their_normalisations(name: str) -> None:
    small = MODELS[name]
    network = discover().model(name).build(Geometry(2, 1, small.slices), **small.params).eval()
    _, copies = step(network, torch.randn(2, 2, *small.slices))
    assert copies == 0


@pytest.mark.filterwarnings("ignore")  # of the tracer, about sizes that it takes for constants
def test_a_traced_network_has_no_operation_of_ours() -> None:
    network = unet.build(Geometry(1, 1, (16, 16)), widths=(2, 4), norm="instance").eval()
    traced = torch.jit.trace(network, torch.randn(1, 1, 16, 16))
    assert "PythonOp" not in str(traced.inlined_graph)


def test_upsampling_keeps_the_precision_of_its_input() -> None:
    features = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    plain = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    fast = Upsampling(scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.equal(fast(features), plain(features))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fast(features.bfloat16()).dtype == torch.bfloat16
        assert torch.equal(fast(features.bfloat16()), plain(features.bfloat16().float()).bfloat16())
