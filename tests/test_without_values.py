from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchbench.engine.network.without_values import new_tensors_on

DRAWS = (
    lambda weight: nn.init.normal_(weight, std=0.02),
    lambda weight: nn.init.normal_(tensor=weight),
    nn.init.kaiming_normal_,
    nn.init.xavier_normal_,
    Tensor.normal_,
)


def drawn(device: str) -> list[Tensor]:
    torch.manual_seed(5)
    with new_tensors_on(device):
        layers = [nn.Linear(3, 4) for _ in DRAWS]
        with torch.no_grad():
            return [draw(layer.weight) for draw, layer in zip(DRAWS, layers, strict=True)]


def test_weights_on_the_meta_device_keep_their_shape() -> None:
    weights = drawn("meta")
    assert all(weight.is_meta and weight.shape == (4, 3) for weight in weights)


def test_weights_on_a_cpu_are_those_of_torch() -> None:
    torch.manual_seed(5)
    layers = [nn.Linear(3, 4) for _ in DRAWS]
    with torch.no_grad():
        expected = [draw(layer.weight) for draw, layer in zip(DRAWS, layers, strict=True)]
    assert all(map(torch.equal, drawn("cpu"), expected))


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_the_state_of_the_generator_is_restored(device: str) -> None:
    before = torch.manual_seed(5).get_state()
    drawn(device)
    assert torch.equal(torch.get_rng_state(), before)
